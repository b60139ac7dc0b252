//! The nodes as somebody sees them who renews, rotates or takes back: each node's own certificate, and whether this is a
//! moment to touch any. What a node takes is the node's to check.

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::output::{Column, Items, Report, Table};
use crate::session::Session;
use crate::text::{Lang, Word};
use plantao_client::AdminNode;
use plantao_client::pki::Authority;
use plantao_proto::admin::v1::{
    GetCertificateRequest, GetCertificateResponse, GetStatusResponse, InstallRevocationsRequest, InstallRootsRequest,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::future::Future;

/// One node that answered.
pub(super) struct Seen {
    pub(super) admin: AdminNode,
    pub(super) status: GetStatusResponse,
    pub(super) certificate: GetCertificateResponse,
}

/// All that the context names.
pub(super) struct Nodes {
    /// What the network is called for the person at the terminal.
    pub(super) label: String,
    /// By number, each once.
    pub(super) seen: Vec<Seen>,
    /// Address or name, and why nothing was heard.
    pub(super) silent: Vec<(String, String)>,
}

/// What one node did with what it was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Done {
    pub(super) node: String,
    pub(super) outcome: Result<String, String>,
}

impl Nodes {
    /// Asks every node of the context.
    ///
    /// # Errors
    /// No node answers, or one of another network than the authority's does.
    pub(super) async fn look(session: &Session, authority: &Authority) -> Result<Self, Failure> {
        let (cluster, label) = session.admin()?;
        let asked = cluster.admin_nodes().iter().map(|admin| async move {
            let status = admin.get_status().await.map_err(|error| chain(&error))?;
            let certificate = admin.get_certificate(GetCertificateRequest {}).await.map_err(|error| chain(&error))?;
            Ok::<_, String>((status, certificate))
        });
        let asked = futures_util::future::join_all(asked).await;
        let (mut seen, mut silent) = (Vec::<Seen>::new(), Vec::new());
        for (admin, answer) in cluster.admin_nodes().iter().zip(asked) {
            match answer {
                Ok((status, certificate)) => {
                    if status.cluster_name != authority.cluster().as_str() {
                        let why = format!("its network is {}, not {}", authority.cluster(), status.cluster_name);
                        return Err(Failure::BadValue { field: "--dir", why });
                    }
                    if seen.iter().all(|other| other.status.node_id != status.node_id) {
                        seen.push(Seen { admin: admin.clone(), status, certificate });
                    }
                }
                Err(why) => silent.push((admin.address().to_owned(), why)),
            }
        }
        seen.sort_by_key(|one| one.status.node_id);
        if seen.is_empty() {
            let why = silent.first().map(|(address, why)| format!("{address}: {why}")).unwrap_or_default();
            return Err(Failure::Connect { why });
        }
        let known: BTreeSet<u64> = seen.iter().map(|one| one.status.node_id).collect();
        let members = seen.iter().flat_map(|one| &one.status.members);
        let absent: BTreeSet<&str> =
            members.filter(|member| !known.contains(&member.node_id)).map(|member| member.name.as_str()).collect();
        silent.extend(absent.into_iter().map(|name| (name.to_owned(), "no admin endpoint answers as it".to_owned())));
        Ok(Self { label, seen, silent })
    }

    /// Whether certificates may be touched: every member answers and knows a leader.
    ///
    /// # Errors
    /// [`Failure::NotNow`], with what is in the way.
    pub(super) fn calm(&self) -> Result<(), Failure> {
        if let Some((node, why)) = self.silent.first() {
            return Err(Failure::NotNow { why: format!("{node}: {why}") });
        }
        match self.seen.iter().find(|one| one.status.leader_id == 0) {
            Some(one) => Err(Failure::NotNow { why: format!("{} knows no leader", one.status.node_name) }),
            None => Ok(()),
        }
    }

    /// Gives every node the authority's bundle of roots.
    pub(super) async fn push_roots(&self, authority: &Authority) -> Vec<Done> {
        let roots_pem = authority.roots_pem();
        self.each(|one| async move {
            let request = InstallRootsRequest { roots_pem: roots_pem.to_owned() };
            one.admin.install_roots(request).await.map(|_| String::new()).map_err(Failure::from)
        })
        .await
    }

    /// Gives every node these lists.
    pub(super) async fn push_lists(&self, pem: &str) -> Vec<Done> {
        self.each(|one| async move {
            let request = InstallRevocationsRequest { lists_pem: pem.to_owned() };
            let installed = one.admin.install_revocations(request).await.map_err(Failure::from)?;
            Ok(format!("{} / {}", installed.number, installed.revoked_count))
        })
        .await
    }

    /// One after the other, so that what goes wrong goes wrong on one node only; the silent ones are told as failed.
    async fn each<'a, F: Future<Output = Result<String, Failure>>>(
        &'a self,
        call: impl Fn(&'a Seen) -> F,
    ) -> Vec<Done> {
        let mut done = Vec::new();
        for one in &self.seen {
            let outcome = call(one).await.map_err(|failure| why(&failure));
            done.push(Done { node: one.status.node_name.clone(), outcome });
        }
        done.extend(self.silent.iter().map(|(node, why)| Done { node: node.clone(), outcome: Err(why.clone()) }));
        done
    }
}

/// What a failure says beyond its kind.
pub(super) fn why(failure: &Failure) -> String {
    match failure {
        Failure::Unavailable { why }
        | Failure::Denied { why }
        | Failure::Invalid { why }
        | Failure::Connect { why } => why.clone(),
        other => chain(other),
    }
}

/// The table of what the nodes did.
pub(super) fn done_view(kind: &'static str, head: Map<String, Value>, lang: Lang, done: &[Done]) -> Report {
    let items = done.iter().map(|one| {
        json!({
            "node": one.node,
            "done": one.outcome.is_ok(),
            "detail": one.outcome.as_ref().ok().filter(|detail| !detail.is_empty()),
            "error": one.outcome.as_ref().err(),
        })
    });
    let rows = done.iter().map(|one| {
        let (word, detail) = match &one.outcome {
            Ok(detail) => (Word::Confirmed, detail.as_str()),
            Err(why) => (Word::Failed, why.as_str()),
        };
        vec![one.node.as_str().into(), lang.word(word).into(), detail.into()]
    });
    Report {
        kind,
        head,
        items: Items::Many("nodes", items.collect()),
        table: Table::new(
            vec![Column::of(Word::Node), Column::of(Word::Outcome), Column::of(Word::What)],
            rows.collect(),
        ),
    }
}

/// Shows what the nodes did; a node that did not is a failure of the whole.
pub(super) fn report(
    session: &Session,
    kind: &'static str,
    head: Map<String, Value>,
    done: &[Done],
) -> Result<Exit, Failure> {
    session.out.report(&done_view(kind, head, session.out.lang, done))?;
    match done.iter().find_map(|one| Some((one.node.as_str(), one.outcome.as_ref().err()?))) {
        Some((node, why)) => Err(Failure::NotAllNodes { why: format!("{node}: {why}") }),
        None => Ok(Exit::Done),
    }
}
