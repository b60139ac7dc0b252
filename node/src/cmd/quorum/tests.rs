//! What a crash between the steps leaves, and who may be kept.

use super::steps::{Step, execute};
use super::survivor::{Shown, Survivor};
use super::*;
use crate::app::log_identity;
use crate::consensus::offline::{OfflineMember, OfflineMembership};
use crate::consensus::types::Member;
use crate::crypto::StorageKey;
use crate::storage::recovery::MarkError;
use crate::storage::wal::{Ballot, EntryId, LogEntry, Wal, WalOptions, WalState};
use plantao_domain::ClusterId;
use plantao_domain::command::Role;
use tempfile::TempDir;

const US: u64 = 3;

fn identity() -> NodeIdentity {
    NodeIdentity {
        cluster: ClusterId::from_bytes([7; 16]),
        cluster_name: "rede-teste".to_string(),
        node: NodeId(US),
        name: "cofre".to_string(),
        incarnation: 1,
        keyed: false,
        raised: None,
    }
}

fn id(term: u64, node: u64, index: u64) -> EntryId {
    EntryId { term, node, index }
}

/// A directory with ten entries of leader 1.
struct Place {
    _dir: TempDir,
    data: DataDir,
    seal: Arc<StorageSeal>,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path().join("data"));
        data.create().unwrap();
        let key = StorageKey::generate(&SystemEntropy);
        let seal = Arc::new(StorageSeal::new(key, identity().cluster, identity().node, &SystemEntropy));
        let wal = Wal::create(&data, log_identity(&identity()), seal.clone(), WalOptions::default()).unwrap();
        identity().create(&data.identity()).unwrap();
        wal.save_vote(Ballot { term: 4, node: 1, committed: true }).await.unwrap();
        append(&wal, (0..10).map(|index| (id(4, 1, index), vec![1, 0]))).await;
        wal.close().await.unwrap();
        Self { _dir: dir, data, seal }
    }

    fn plan(&self) -> BegunRecovery {
        BegunRecovery {
            cluster: identity().cluster.to_string(),
            node: US,
            incarnation: 2,
            base: Some(id(4, 1, 9).into()),
            term: 5,
            payloads: vec![vec![1, 0], vec![1, 1, 42]],
        }
    }

    async fn execute(&self, stop: Option<Step>) -> anyhow::Result<NodeIdentity> {
        let crash = |step: Step| if stop == Some(step) { Err(anyhow!("power cut")) } else { Ok(()) };
        execute(&self.data, &self.plan(), self.seal.clone(), &mut { crash }).await
    }

    fn open(&self) -> Wal {
        let identity = NodeIdentity::load(&self.data.identity()).unwrap();
        Wal::open(&self.data, log_identity(&identity), self.seal.clone(), WalOptions::default()).unwrap()
    }

    /// Everything is as planned, once.
    async fn recovered(&self) {
        recovery::check(&self.data).unwrap();
        assert_eq!(NodeIdentity::load(&self.data.identity()).unwrap().incarnation, 2);
        let wal = self.open();
        let last = Some(id(5, US, 11));
        let vote = Some(Ballot { term: 5, node: US, committed: true });
        assert_eq!(wal.state(), WalState { vote, last, purged: None, committed: last });
        let tail = wal.read(9..99, None).await.unwrap();
        let tail: Vec<_> = tail.iter().map(|entry| (entry.id, entry.payload.to_vec())).collect();
        let [first, second] = self.plan().payloads.try_into().unwrap();
        assert_eq!(tail, [(id(4, 1, 9), vec![1, 0]), (id(5, US, 10), first), (id(5, US, 11), second)]);
        wal.close().await.unwrap();
    }
}

async fn append(wal: &Wal, entries: impl Iterator<Item = (EntryId, Vec<u8>)>) {
    let entries = entries.map(|(id, payload)| LogEntry { id, payload: payload.into() }).collect();
    let (tell, told) = tokio::sync::oneshot::channel();
    wal.append(entries, move |synced| drop(tell.send(synced))).await.unwrap();
    told.await.unwrap().unwrap();
}

/// A node whose identity is old and whose log says that it votes alone would lead beside the old majority.
#[tokio::test]
async fn a_crash_after_each_step_leaves_a_half_that_does_not_run_and_is_repeated() {
    let steps = [Step::Begun, Step::Identity, Step::Vote, Step::Entries, Step::Committed];
    for (at, stop) in steps.into_iter().enumerate() {
        let place = Place::new().await;
        place.execute(Some(stop)).await.unwrap_err();
        assert!(matches!(recovery::check(&place.data), Err(MarkError::Unfinished)), "{stop:?}");
        assert_eq!(recovery::begun(&place.data).unwrap().unwrap(), place.plan());
        let incarnation = NodeIdentity::load(&place.data.identity()).unwrap().incarnation;
        assert_eq!(incarnation, if at == 0 { 1 } else { 2 }, "{stop:?}");
        let wal = place.open();
        let grown = wal.state().last > Some(id(4, 1, 9));
        assert_eq!(grown, at >= 3, "{stop:?}");
        assert!(!grown || incarnation == 2);
        drop(wal);
        // Crashes while it is repeated, too.
        for again in steps {
            place.execute(Some(again)).await.unwrap_err();
        }
        assert_eq!(place.execute(None).await.unwrap().incarnation, 2);
        place.recovered().await;
    }
}

/// A torn write may leave the first of the two entries.
#[tokio::test]
async fn half_of_the_entries_is_gone_on_with_and_other_entries_are_refused() {
    let place = Place::new().await;
    place.execute(Some(Step::Vote)).await.unwrap_err();
    let wal = place.open();
    append(&wal, std::iter::once((id(5, US, 10), vec![1, 0]))).await;
    drop(wal);
    place.execute(None).await.unwrap();
    place.recovered().await;

    let place = Place::new().await;
    place.execute(Some(Step::Vote)).await.unwrap_err();
    let wal = place.open();
    append(&wal, std::iter::once((id(4, 1, 10), vec![1, 0]))).await;
    drop(wal);
    let error = place.execute(None).await.unwrap_err();
    assert!(error.to_string().contains("PLT-3206"), "{error:#}");
    assert!(recovery::check(&place.data).is_err());
}

#[tokio::test]
async fn a_plan_of_another_node_is_refused() {
    let place = Place::new().await;
    let plan = BegunRecovery { node: 1, ..place.plan() };
    execute(&place.data, &plan, place.seal.clone(), &mut |_| Ok(())).await.unwrap_err();
    assert_eq!(NodeIdentity::load(&place.data.identity()).unwrap(), identity());
}

fn member(id: u64, name: &str) -> OfflineMember {
    let member = Member { name: name.to_owned(), peer_address: format!("{name}:7402"), keyed: name != "cofre" };
    OfflineMember { id, member, voter: true }
}

fn survivor(voters: &[u64], untrusted: Option<&str>) -> Survivor {
    let key = StorageKey::generate(&SystemEntropy);
    Survivor {
        identity: identity(),
        seal: Arc::new(StorageSeal::new(key, identity().cluster, identity().node, &SystemEntropy)),
        membership: OfflineMembership {
            members: vec![member(1, "centro"), member(2, "jardins"), member(US, "cofre")],
            configurations: vec![voters.iter().copied().collect()],
        },
        log: WalState { vote: Some(Ballot { term: 9, node: 1, committed: true }), ..WalState::default() },
        last: Some(id(7, 1, 918)),
        applied: Some(id(7, 1, 900)),
        last_time: Some(ClusterTime::saturating_from_millis(5_000)),
        untrusted: untrusted.map(ToOwned::to_owned),
    }
}

#[test]
fn only_the_node_of_the_directory_is_kept_and_only_where_it_is_no_majority() {
    let codes = |survivor: &Survivor, keep: &str| {
        let keep: Vec<String> = keep.split(',').map(ToOwned::to_owned).collect();
        let refused = check_kept(survivor, &keep);
        if let Err(error) = &refused {
            let text = told(error);
            assert!(text.contains("PLT-32") && text.contains(error.help()), "{text}");
        }
        refused.err().map(|error| error.code())
    };
    let three = survivor(&[1, 2, US], None);
    assert_eq!(codes(&three, "cofre"), None);
    assert_eq!(codes(&three, "3"), None);
    assert_eq!(codes(&three, "cofre,3"), None, "named twice");
    assert_eq!(codes(&three, "cofre,centro"), Some(3204), "two of three lost nothing");
    assert_eq!(codes(&three, "centro"), Some(3205), "another directory");
    assert_eq!(codes(&three, "moema"), Some(3205), "unknown");
    assert_eq!(codes(&survivor(&[US], None), "cofre"), Some(3204), "it is alone already");
    assert_eq!(codes(&survivor(&[1, 2], None), "cofre"), None, "a learner, when no voter is left");
    assert_eq!(codes(&survivor(&[1, 2, US], Some("rotten")), "cofre"), Some(3206));
}

#[test]
fn the_plan_goes_beyond_every_vote_and_names_who_is_dropped() {
    let survivor = survivor(&[1, 2, US], None);
    let early = ClusterTime::saturating_from_millis(10);
    let asked = |reason| Asked { by: None, reason };
    let made = plan(&survivor, &asked("fire"), early, &SystemEntropy).unwrap();
    assert_eq!((made.term, made.incarnation, made.base), (10, 2, Some(id(7, 1, 918).into())));
    let alone = offline::membership_of(&made.payloads[0].clone().into()).unwrap().unwrap();
    assert_eq!(alone.members, [member(US, "cofre")]);
    let proposal = crate::consensus::log_store::proposal_of(&made.payloads[1].clone().into()).unwrap().unwrap();
    let envelope = codec::decode_envelope(&proposal).unwrap();
    assert_eq!(envelope.proposed_at.millis(), 5_000, "cluster time does not go back with this clock");
    assert!(envelope.not_after > envelope.proposed_at);
    let Command::NoteRecovery { recovery } = envelope.command else { panic!("another command") };
    assert_eq!((recovery.last_term, recovery.last_index), (7, 918));
    assert_eq!((recovery.kept, recovery.dropped_voters), (vec![NodeId(US)], vec![NodeId(1), NodeId(2)]));
    assert!(plan(&survivor, &asked("  "), early, &SystemEntropy).is_err());
    assert!(plan(&survivor, &asked(&"x".repeat(401)), early, &SystemEntropy).is_err());
    // By the node's right, which every program knows, and in the name of whoever asked.
    let operator = ActorId::from_bytes([7; 16]);
    for by in [None, Some(operator)] {
        let made = plan(&survivor, &Asked { by, reason: "fire" }, early, &SystemEntropy).unwrap();
        let proposal = crate::consensus::log_store::proposal_of(&made.payloads[1].clone().into()).unwrap().unwrap();
        let actor = codec::decode_envelope(&proposal).unwrap().actor;
        assert_eq!((actor.role, actor.id == operator), (Role::Node, by.is_some()));
    }
}

#[test]
fn the_survivor_with_the_latest_entry_is_the_one_to_keep() {
    let shown = |node: u64, last: Option<EntryId>, untrusted: Option<&str>| {
        let survivor = Survivor { last, ..survivor(&[1, 2, US], untrusted) };
        Shown { node, ..survivor.shown(false) }
    };
    // A later term beats a longer log: what the longer one has more was never committed.
    let all = [shown(1, Some(id(7, 1, 900)), None), shown(2, Some(id(8, 2, 700)), None), shown(3, None, None)];
    assert_eq!(Shown::best(&all.iter().collect::<Vec<_>>()).map(|best| best.node), Some(2));
    let all = [shown(1, Some(id(7, 1, 900)), None), shown(2, Some(id(8, 2, 700)), Some("rotten"))];
    assert_eq!(Shown::best(&all.iter().collect::<Vec<_>>()).map(|best| best.node), Some(1));
    let all = [shown(2, Some(id(7, 1, 900)), None), shown(1, Some(id(7, 1, 900)), None)];
    assert_eq!(Shown::best(&all.iter().collect::<Vec<_>>()).map(|best| best.node), Some(1), "equal: always the same");
    assert_eq!(Shown::best(&[]), None);
}

#[test]
fn what_is_shown_is_read_back_and_names_the_bound() {
    let shown = survivor(&[1, 2, US], None).shown(true);
    let json = serde_json::to_string(&shown).unwrap();
    assert_eq!(serde_json::from_str::<Shown>(&json).unwrap(), shown);
    let mut text = Vec::new();
    print(&mut text, &shown).unwrap();
    let golden = "\
network   rede-teste (07070707-0707-0707-0707-070707070707), incarnation 1
node      3 (cofre), keyless, voter
log       last is entry 918 of term 7, last write at 1970-01-01T00:00:05Z; committed for certain up to 900, applied up to 900
member    1 (centro) at centro:7402, voter
member    2 (jardins) at jardins:7402, voter
member    3 (cofre) at cofre:7402, voter, this node
begun     a recovery was begun here and is not finished: repeat `plantaod quorum recover`
lost      nothing up to entry 918; what others acknowledged after it, so nothing that was acknowledged before 1970-01-01T00:00:05Z
";
    assert_eq!(String::from_utf8(text).unwrap(), golden);
}
