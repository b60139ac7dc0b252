//! Three members of etcd on loopback with the certificates of three nodes, default fsync and timers, and programs that wait
//! for each answer. Only for comparison; nothing else knows of etcd.

mod wire;

use crate::ground::{micros, percentile};
use anyhow::{Context, bail};
use bytes::Bytes;
use http::uri::PathAndQuery;
use plantao_client::transport::{
    ChannelOptions, ClientTls, Credentials, CredentialsPaths, ExpectedServer, Target, TlsVersions, channel,
};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use wire::{
    Compare, Operation, PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
};

/// Until three members have a leader.
const START_MAX: Duration = Duration::from_secs(60);
/// Of one operation: far above what any takes.
const OPERATION_MAX: Duration = Duration::from_secs(30);
/// Keys that puts and gets choose from.
const KEYS: u64 = 100_000;
/// Of a value and of a booking.
const VALUE_BYTES: usize = 256;

/// Why there is no etcd.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be started: install etcd (Debian's etcd-server), or name it with --etcd", program.display())]
pub(crate) struct NoEtcd {
    program: PathBuf,
    #[source]
    source: io::Error,
}

/// What is done over and over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    /// Puts 256 bytes under one of 100,000 keys.
    Put,
    /// If a slot is free, puts the slot and a booking of 256 bytes, else reads the slot.
    Book,
    /// Reads one of the keys, linearizable.
    Get,
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) ops_per_second: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) errors: u64,
    pub(crate) ops: u64,
}

/// Three members; dropping it kills them.
pub(crate) struct Etcd {
    members: Vec<Child>,
    clients: Vec<u16>,
    tls: ClientTls,
    /// Numbers operations over all runs: no slot is taken twice.
    next: Arc<AtomicU64>,
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Etcd {
    /// Starts three members in `directory`. `servers` are directories with `node.crt`, `node.key` and `ca.crt`.
    pub(crate) async fn start(
        program: &Path,
        directory: &Path,
        servers: &[&Path],
        client: &CredentialsPaths,
    ) -> anyhow::Result<Self> {
        let credentials = Credentials::load(client, SystemTime::now()).context("the client's certificate")?;
        let tls = ClientTls::new(Arc::new(credentials), TlsVersions::default());
        let mut ports = Vec::new();
        for _ in servers {
            ports.push((free_port()?, free_port()?));
        }
        let url = |port: u16| format!("https://127.0.0.1:{port}");
        let all: Vec<String> =
            ports.iter().enumerate().map(|(nth, (_, peer))| format!("m{nth}={}", url(*peer))).collect();
        let all = all.join(",");
        let mut members = Vec::new();
        for (nth, (server, (public, peer))) in servers.iter().zip(&ports).enumerate() {
            let home = directory.join(format!("m{nth}"));
            std::fs::create_dir_all(&home)?;
            let log = std::fs::File::create(directory.join(format!("m{nth}.log")))?;
            let mut command = Command::new(program);
            command.arg("--name").arg(format!("m{nth}")).arg("--data-dir").arg(&home);
            command.arg("--listen-client-urls").arg(url(*public)).arg("--advertise-client-urls").arg(url(*public));
            command.arg("--listen-peer-urls").arg(url(*peer)).arg("--initial-advertise-peer-urls").arg(url(*peer));
            command.args(["--initial-cluster", &all, "--initial-cluster-state", "new"]);
            command.args(["--client-cert-auth", "--peer-client-cert-auth", "--quota-backend-bytes", "8589934592"]);
            for (option, file) in [("cert-file", "node.crt"), ("key-file", "node.key"), ("trusted-ca-file", "ca.crt")] {
                command.arg(format!("--{option}")).arg(server.join(file));
                command.arg(format!("--peer-{option}")).arg(server.join(file));
            }
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
            let spawned = command.spawn();
            members.push(spawned.map_err(|source| NoEtcd { program: program.to_owned(), source })?);
        }
        let clients = ports.iter().map(|(public, _)| *public).collect();
        let mut etcd = Self { members, clients, tls, next: Arc::default() };
        etcd.ready(directory).await?;
        Ok(etcd)
    }

    async fn ready(&mut self, directory: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_MAX;
        let channels = self.channels(self.clients.len())?;
        loop {
            let mut answered = 0;
            for channel in &channels {
                answered += usize::from(get(channel, 0).await.is_ok());
            }
            if answered == channels.len() {
                return Ok(());
            }
            if let Some(ended) = self.members.iter_mut().find_map(|member| member.try_wait().ok().flatten()) {
                bail!("a member of etcd ended ({ended}): see the logs in {}", directory.display());
            }
            if Instant::now() > deadline {
                bail!("etcd has no leader after {START_MAX:?}: see the logs in {}", directory.display());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Numbers of the members' processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.members.iter().filter_map(Child::id).collect()
    }

    fn channels(&self, count: usize) -> anyhow::Result<Vec<Channel>> {
        let options = ChannelOptions { request_timeout: Some(OPERATION_MAX), ..ChannelOptions::default() };
        let ports = self.clients.iter().cycle().take(count);
        ports
            .map(|port| {
                let address = format!("127.0.0.1:{port}");
                let target = Target { address, expected: ExpectedServer::AnyNode };
                channel(&self.tls, &target, &options).context("a channel to etcd")
            })
            .collect()
    }

    /// Fills all keys, so that every get finds one.
    pub(crate) async fn fill(&self) -> anyhow::Result<()> {
        let channels = self.channels(16)?;
        let next = Arc::new(AtomicU64::new(0));
        let mut programs = JoinSet::new();
        for nth in 0..64 {
            let (channel, next) = (channels[nth % channels.len()].clone(), Arc::clone(&next));
            programs.spawn(async move {
                loop {
                    let key = next.fetch_add(1, Ordering::Relaxed);
                    if key >= KEYS {
                        return Ok(());
                    }
                    put(&channel, key).await?;
                }
            });
        }
        while let Some(done) = programs.join_next().await {
            let done: Result<(), Status> = done?;
            done.context("etcd was to be filled")?;
        }
        Ok(())
    }

    /// So many programs for so long after `warmup`, over at most `connections`.
    pub(crate) async fn run(
        &self,
        deed: Deed,
        programs: usize,
        connections: usize,
        warmup: Duration,
        duration: Duration,
    ) -> anyhow::Result<Answers> {
        let channels = self.channels(connections.min(programs).max(1))?;
        let begin = Instant::now() + warmup;
        let end = begin + duration;
        let mut running = JoinSet::new();
        for nth in 0..programs {
            let (channel, next) = (channels[nth % channels.len()].clone(), Arc::clone(&self.next));
            running.spawn(async move { work(deed, &channel, &next, begin, end).await });
        }
        let (mut times, mut errors) = (Vec::new(), 0);
        while let Some(done) = running.join_next().await {
            let (took, failed) = done?;
            times.extend(took);
            errors += failed;
        }
        times.sort_unstable();
        Ok(Answers {
            ops_per_second: times.len() as f64 / duration.as_secs_f64(),
            p50_us: percentile(&times, 50),
            p99_us: percentile(&times, 99),
            errors,
            ops: times.len() as u64,
        })
    }
}

async fn work(deed: Deed, channel: &Channel, next: &AtomicU64, begin: Instant, end: Instant) -> (Vec<u64>, u64) {
    let (mut times, mut errors) = (Vec::new(), 0);
    loop {
        let started = Instant::now();
        if started >= end {
            return (times, errors);
        }
        let nth = next.fetch_add(1, Ordering::Relaxed);
        let done = match deed {
            Deed::Put => put(channel, scattered(nth)).await,
            Deed::Get => get(channel, scattered(nth)).await,
            Deed::Book => book(channel, nth).await,
        };
        let finished = Instant::now();
        // Only what was answered within the measured time counts, as with our own.
        if finished < begin || finished >= end {
            continue;
        }
        match done {
            Ok(()) => times.push(micros(finished - started)),
            Err(_) => errors += 1,
        }
    }
}

/// Neighbours in time are no neighbours in the store.
const fn scattered(nth: u64) -> u64 {
    nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS
}

fn key(nth: u64) -> Bytes {
    Bytes::from(format!("registro/{nth:016x}"))
}

fn value() -> Bytes {
    static VALUE: [u8; VALUE_BYTES] = [b'x'; VALUE_BYTES];
    Bytes::from_static(&VALUE)
}

async fn call<Q, A>(channel: &Channel, path: &'static str, question: Q) -> Result<A, Status>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Q, A>::default();
    let answer = grpc.unary(Request::new(question), PathAndQuery::from_static(path), codec).await?;
    Ok(answer.into_inner())
}

async fn put(channel: &Channel, nth: u64) -> Result<(), Status> {
    let question = PutRequest { key: key(nth), value: value() };
    call::<_, PutResponse>(channel, "/etcdserverpb.KV/Put", question).await.map(drop)
}

async fn get(channel: &Channel, nth: u64) -> Result<(), Status> {
    let question = RangeRequest { key: key(nth) };
    call::<_, RangeResponse>(channel, "/etcdserverpb.KV/Range", question).await.map(drop)
}

async fn book(channel: &Channel, nth: u64) -> Result<(), Status> {
    let slot = Bytes::from(format!("horario/{nth:016x}"));
    let put = |key, value| RequestOp { operation: Some(Operation::Put(PutRequest { key, value })) };
    let question = TxnRequest {
        compare: vec![Compare { key: slot.clone(), target: Some(wire::Target::Version(0)) }],
        success: vec![
            put(slot.clone(), Bytes::from_static(b"1")),
            put(Bytes::from(format!("marcacao/{nth:016x}")), value()),
        ],
        failure: vec![RequestOp { operation: Some(Operation::Range(RangeRequest { key: slot })) }],
    };
    match call::<_, TxnResponse>(channel, "/etcdserverpb.KV/Txn", question).await? {
        TxnResponse { succeeded: true } => Ok(()),
        TxnResponse { succeeded: false } => Err(Status::already_exists("the slot was taken")),
    }
}
