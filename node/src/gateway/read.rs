//! Reads: at the read index or as this node has it, with rights checked and content noted before it leaves.

use super::content::{DemographicsContent, DirectoryContent};
use super::names::fold;
use super::{Error, Gateway, REQUEST_TIME_MAX};
use crate::crypto::{Kind, SearchTerm};
use crate::journal::Read;
use plantao_client::identity::Identity;
use plantao_domain::access::{Decision, decide};
use plantao_domain::audit::{Action, Module, Object};
use plantao_domain::outcome::What;
use plantao_domain::planted::{Bug, planted};
use plantao_domain::rows::{self, AgendaCursor, AgendaOf, AgendaShow, RecordCursor};
use plantao_domain::view::Order;
use plantao_domain::*;
use tokio::time::Instant;

/// How fresh an answer must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consistency {
    /// Sees every write acknowledged before the read began.
    Linearizable,
    /// As this node has it, if it heard from a leader within so many milliseconds; `None`: however old.
    Local {
        /// The bound.
        staleness_ms_max: Option<u64>,
    },
}

/// What an answer reflects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Applied up to here.
    pub index: u64,
    /// The cluster's time then.
    pub time: ClusterTime,
    /// As asked.
    pub consistency: Consistency,
    /// Milliseconds since a leader was heard; 0 for linearizable.
    pub staleness_ms: u64,
}

/// A patient, opened.
pub struct OpenPatient {
    /// Who.
    pub id: PatientId,
    /// Registered where.
    pub unit: UnitId,
    /// Which version this is.
    pub version: u32,
    /// Demographics.
    pub content: DemographicsContent,
}

/// A version of a record, opened.
pub struct OpenRecord {
    /// Which.
    pub id: RecordId,
    /// Its head.
    pub row: rows::RecordRow,
    /// Which version this is.
    pub version: u32,
    /// When it was written.
    pub written_at: ClusterTime,
    /// By whom.
    pub author: ActorId,
    /// Of an amendment.
    pub reason: String,
    /// The sender's bytes.
    pub document: Vec<u8>,
}

/// A booking with its id.
pub(crate) type Booking = (AppointmentId, rows::AppointmentRow);

/// Most patients that a search answers with.
const FOUND_MAX: usize = 50;

impl Gateway {
    /// Waits until this node has applied what any node had committed when the call began.
    pub(super) async fn catch_up(&self) -> Result<u64, Error> {
        let deadline = Instant::now() + REQUEST_TIME_MAX;
        let index = self
            .0
            .parts
            .forwarder
            .read_index(deadline)
            .await
            .map_err(|_| Error::Unavailable { why: "no leader answers, so a linearizable read is not possible" })?;
        if planted(Bug::ReadWithoutWaiting) {
            return Ok(index);
        }
        self.consensus()
            .wait_applied(index, deadline)
            .await
            .map_err(|_| Error::Unavailable { why: "this node lags behind the leader" })?;
        Ok(index)
    }

    /// Who calls; a unit that this node does not know yet is looked up once more at the read index.
    ///
    /// # Errors
    /// The certificate's unit is not registered.
    pub async fn caller(&self, identity: &Identity) -> Result<Actor, Error> {
        match self.actor(identity) {
            Err(Error::UnknownUnit) => {
                self.catch_up().await?;
                self.actor(identity)
            }
            other => other,
        }
    }

    /// Makes this node fresh enough.
    ///
    /// # Errors
    /// No leader answers, or this node is older than allowed.
    pub async fn settle(&self, consistency: Consistency) -> Result<Reading, Error> {
        let staleness_ms = match consistency {
            Consistency::Linearizable if planted(Bug::ReadWithoutIndex) => 0,
            Consistency::Linearizable => {
                self.catch_up().await?;
                0
            }
            Consistency::Local { staleness_ms_max } => {
                let age = self.consensus().leader_contact();
                let age_ms = age.map_or(u64::MAX, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
                match staleness_ms_max {
                    Some(bound_ms) if age_ms > bound_ms => return Err(Error::TooStale { age_ms, bound_ms }),
                    _ => age_ms,
                }
            }
        };
        let mut progress = self.consensus().progress();
        if planted(Bug::AsOfAhead) {
            progress.index += 20;
        }
        Ok(Reading { index: progress.index, time: progress.time, consistency, staleness_ms })
    }

    /// Refuses, and notes the refusal, unless the caller may read this.
    ///
    /// # Errors
    /// `Denied`.
    pub async fn may_read(
        &self,
        actor: &Actor,
        module: Module,
        unit: Option<UnitId>,
        object: Object,
        patient: Option<PatientId>,
    ) -> Result<(), Error> {
        match decide(actor, module, Action::Read, unit) {
            Decision::Allowed => Ok(()),
            Decision::Denied => {
                self.note(actor, object, patient, None).await?;
                Err(Error::Denied)
            }
        }
    }

    /// `shown` is the version that the answer opens; `None`: the read is refused.
    pub(super) async fn note(
        &self,
        actor: &Actor,
        object: Object,
        patient: Option<PatientId>,
        shown: Option<u32>,
    ) -> Result<(), Error> {
        if planted(Bug::ReadNotNoted) {
            return Ok(());
        }
        let read = Read { actor: *actor, at: self.consensus().time(), object, patient, shown };
        Ok(self.journal().note(read).await?)
    }

    /// A unit's name and what describes it. Directory content is about staff, not patients: rights yes, note no.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn directory(&self, unit: UnitId, object: &[u8; 16], frame: &Sealed) -> Result<DirectoryContent, Error> {
        self.open_directory(unit, object, frame)
    }

    /// One patient; `version` 0 is the current one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn patient(&self, actor: &Actor, id: PatientId, version: u32) -> Result<OpenPatient, Error> {
        let row = rows::patient(&**self.state(), id)?;
        let unit = row.as_ref().map(|row| row.unit);
        self.may_read(actor, Module::Patients, unit, Object::Patient(id), Some(id)).await?;
        let row = row.ok_or(Error::NotFound(What::Patient))?;
        let version = shown(What::Patient, version, row.version)?;
        self.note(actor, Object::Patient(id), Some(id), Some(version)).await?;
        self.open_patient(id, &row, version)
    }

    fn open_patient(&self, id: PatientId, row: &rows::PatientRow, version: u32) -> Result<OpenPatient, Error> {
        let kept = rows::patient_version(&**self.state(), id, version)?.ok_or(Error::NotFound(What::Patient))?;
        let content = self.open_demographics(id, version, &kept.content)?;
        Ok(OpenPatient { id, unit: row.unit, version, content })
    }

    /// Patients who hold a CPF or a telephone number.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn find_by_token(
        &self,
        actor: &Actor,
        term: SearchTerm,
        digits: &str,
    ) -> Result<(Vec<OpenPatient>, bool), Error> {
        self.may_read(actor, Module::Patients, None, Object::Many, None).await?;
        let token = self.with_keys(|| self.keyring().search_token(term, digits))?;
        let found = rows::patients_by_token(&**self.state(), &token, None, FOUND_MAX + 1)?;
        self.open_found(actor, found.into_iter().map(|(id, _)| id).collect()).await
    }

    /// Patients whose name holds `part`, whatever its case and accents.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn find_by_name(&self, actor: &Actor, part: &str) -> Result<(Vec<OpenPatient>, bool), Error> {
        self.may_read(actor, Module::Patients, None, Object::Many, None).await?;
        let needle = fold(part);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = rows::patients(&**self.state(), after, 500)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (id, row) in &page {
                let matches = match self.0.names.matches(*id, row.version, &needle) {
                    Some(matches) => matches,
                    None => {
                        let name = self.open_patient(*id, row, row.version)?.content.name;
                        self.0.names.remember(*id, row.version, &name);
                        fold(&name).contains(&needle)
                    }
                };
                if matches {
                    found.push(*id);
                }
            }
            if found.len() > FOUND_MAX {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.open_found(actor, found).await
    }

    async fn open_found(&self, actor: &Actor, mut ids: Vec<PatientId>) -> Result<(Vec<OpenPatient>, bool), Error> {
        let more = ids.len() > FOUND_MAX;
        ids.truncate(FOUND_MAX);
        let mut patients = Vec::with_capacity(ids.len());
        for id in ids {
            let row = rows::patient(&**self.state(), id)?.ok_or(Error::NotFound(What::Patient))?;
            self.note(actor, Object::Patient(id), Some(id), Some(row.version)).await?;
            patients.push(self.open_patient(id, &row, row.version)?);
        }
        Ok((patients, more))
    }

    /// Patients without content.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_patients(
        &self,
        actor: &Actor,
        after: Option<PatientId>,
        limit: usize,
    ) -> Result<Vec<(PatientId, rows::PatientRow)>, Error> {
        self.may_read(actor, Module::Patients, None, Object::Many, None).await?;
        Ok(rows::patients(&**self.state(), after, limit)?)
    }

    /// A booking, with its document when `content`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn appointment(
        &self,
        actor: &Actor,
        id: AppointmentId,
        content: bool,
    ) -> Result<(rows::AppointmentRow, Vec<u8>), Error> {
        let row = rows::appointment(&**self.state(), id)?;
        let unit = row.as_ref().map(|row| row.slot.unit);
        self.may_read(actor, Module::Agenda, unit, Object::Appointment(id), None).await?;
        let row = row.ok_or(Error::NotFound(What::Appointment))?;
        if !content {
            return Ok((row, Vec::new()));
        }
        self.note(actor, Object::Appointment(id), Some(row.patient), Some(row.version)).await?;
        let document = self.open_of_patient(row.patient, id.as_bytes(), 1, Kind::Appointment, &row.content)?;
        Ok((row, document))
    }

    /// A page of an agenda, without content, and its last booking when there may be more: bookings of other units are
    /// left out for a caller of one unit, so a page may be shorter than asked.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agenda(
        &self,
        actor: &Actor,
        of: AgendaOf,
        interval: Interval,
        after: Option<AgendaCursor>,
        limit: usize,
    ) -> Result<(Vec<Booking>, Option<Booking>), Error> {
        let view = &**self.state();
        let unit = match of {
            AgendaOf::Unit(unit) => Some(unit),
            AgendaOf::Practitioner(id) => rows::practitioner(view, id)?.map(|row| row.unit),
            AgendaOf::Room(id) => rows::room(view, id)?.map(|row| row.unit),
            // Their bookings may be in several units: each one that is shown is checked below.
            AgendaOf::Patient(_) => actor.unit,
        };
        self.may_read(actor, Module::Agenda, unit, Object::Many, None).await?;
        // At one index: a page is many reads, and a booking that is moved or cancelled between them would show twice, or as
        // it never was beside the others.
        let mut page = Ok(Vec::new());
        self.state().read(&mut |view, _| page = rows::agenda(view, of, interval, AgendaShow::All, after, limit));
        #[cfg(feature = "planted")]
        if planted(Bug::AgendaOfTwoTimes) {
            let held = rows::agenda(view, of, interval, AgendaShow::Held, after, limit)?;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            page = rows::agenda(view, of, interval, AgendaShow::All, after, limit).map(|mut all| {
                all.retain(|(_, row)| rows::Occupancy::of(row.state) == rows::Occupancy::Freed);
                all.extend(held);
                all
            });
        }
        let mut found = page?;
        let last = found.last().filter(|_| found.len() == limit).cloned();
        if actor.unit.is_some() {
            // A professional who works in two units: the other unit's bookings are not this caller's to see.
            found.retain(|(_, row)| {
                decide(actor, Module::Agenda, Action::Read, Some(row.slot.unit)) == Decision::Allowed
            });
        }
        Ok((found, last))
    }

    /// One version of a record; `version` 0 is the current one. Noted, synced, then opened.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn record(&self, actor: &Actor, id: RecordId, version: u32) -> Result<OpenRecord, Error> {
        let row = rows::record(&**self.state(), id)?;
        let (unit, patient) = (row.as_ref().map(|row| row.unit), row.as_ref().map(|row| row.patient));
        self.may_read(actor, Module::Records, unit, Object::Record(id), patient).await?;
        let row = row.ok_or(Error::NotFound(What::Record))?;
        let mut version = shown(What::Record, version, row.version)?;
        if planted(Bug::OlderVersionShown) && version > 1 && self.consensus().progress().index.is_multiple_of(16) {
            version -= 1;
        }
        self.note(actor, Object::Record(id), Some(row.patient), Some(version)).await?;
        self.open_record(id, row, version)
    }

    fn open_record(&self, id: RecordId, row: rows::RecordRow, version: u32) -> Result<OpenRecord, Error> {
        let kept = rows::record_version(&**self.state(), id, version)?.ok_or(Error::NotFound(What::Record))?;
        let document = self.open_of_patient(row.patient, id.as_bytes(), version, Kind::Record, &kept.content)?;
        let reason = match &kept.reason {
            Some(reason) => {
                let text = self.open_of_patient(row.patient, id.as_bytes(), version, Kind::Reason, reason)?;
                String::from_utf8(text).map_err(|_| Error::Damaged)?
            }
            None => String::new(),
        };
        Ok(OpenRecord { id, row, version, written_at: kept.at, author: kept.by, reason, document })
    }

    /// A page of a patient's records, without content.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn records(
        &self,
        actor: &Actor,
        patient: PatientId,
        order: Order,
        after: Option<RecordCursor>,
        limit: usize,
    ) -> Result<Vec<(RecordId, rows::RecordRow)>, Error> {
        let unit = rows::patient(&**self.state(), patient)?.map(|row| row.unit);
        self.may_read(actor, Module::Records, unit, Object::Patient(patient), Some(patient)).await?;
        unit.ok_or(Error::NotFound(What::Patient))?;
        Ok(rows::records_of_patient(&**self.state(), patient, None, order, after, limit)?)
    }

    /// The step of a record that its head names: when it was written, and by whom.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn record_step(&self, id: RecordId, version: u32) -> Result<(ClusterTime, ActorId), Error> {
        let kept = rows::record_version(&**self.state(), id, version)?.ok_or(Error::NotFound(What::Record))?;
        Ok((kept.at, kept.by))
    }

    /// A consent with its document.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn consent(&self, actor: &Actor, id: ConsentId) -> Result<(rows::ConsentRow, Vec<u8>), Error> {
        let row = rows::consent(&**self.state(), id)?;
        let (unit, patient) = (row.as_ref().map(|row| row.unit), row.as_ref().map(|row| row.patient));
        self.may_read(actor, Module::Consents, unit, Object::Consent(id), patient).await?;
        let row = row.ok_or(Error::NotFound(What::Consent))?;
        self.note(actor, Object::Consent(id), Some(row.patient), Some(row.version)).await?;
        let kept = rows::consent_version(&**self.state(), id, 1)?.ok_or(Error::NotFound(What::Consent))?;
        let document = self.open_of_patient(row.patient, id.as_bytes(), 1, Kind::Consent, &kept.content)?;
        Ok((row, document))
    }

    /// A page of a patient's consents, without documents.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn consents(
        &self,
        actor: &Actor,
        patient: PatientId,
        after: Option<ConsentId>,
        limit: usize,
    ) -> Result<Vec<(ConsentId, rows::ConsentRow)>, Error> {
        let unit = rows::patient(&**self.state(), patient)?.map(|row| row.unit);
        self.may_read(actor, Module::Consents, unit, Object::Patient(patient), Some(patient)).await?;
        unit.ok_or(Error::NotFound(What::Patient))?;
        Ok(rows::consents_of_patient(&**self.state(), patient, after, limit)?)
    }
}

/// The version that an answer shows: the one that was asked for, or with 0 the current one.
fn shown(what: What, asked: u32, current: u32) -> Result<u32, Error> {
    match asked {
        0 => Ok(current),
        // Versions count from 1 without gaps.
        asked if asked <= current => Ok(asked),
        _ => Err(Error::NotFound(what)),
    }
}
