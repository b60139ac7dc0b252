//! What most promises start from: a network of three nodes and a small clinic of two units.

use plantao_client::{Cluster, Error, Id};
use plantao_node::local_network::NodeSpec;
use plantao_proto::public::v1::{
    AddRecordRequest, BookRequest, Demographics, ListAppointmentsRequest, ListConsentsRequest, ListPatientsRequest,
    ListRecordsRequest, Practitioner, ReadOptions, RegisterPatientRequest, RegisterPractitionerRequest,
    RegisterRoomRequest, RegisterUnitRequest, Room, Slot, Unit, list_appointments_request,
};
use plantao_tests::network::Network;
use plantao_tests::wait::until;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_plantaod-under-test");
/// The operator's tool.
pub(crate) const TOOL: &str = env!("CARGO_BIN_EXE_plantao-under-test");
/// Clinic software that may do everything but an encaixe, in both units.
pub(crate) const SOFTWARE: &str = "rede/integration/software";
pub(crate) const MINUTE: i64 = 60_000;
/// 1 March 2027, 12:00 UTC. Each test takes days of its own.
pub(crate) const NOON: i64 = 1_803_902_400_000;
pub(crate) const DAY: i64 = 24 * 60 * MINUTE;
const YEAR_9999_END: i64 = 253_402_300_799_000;

/// People that nobody is, with valid CPF digits.
pub(crate) const PEOPLE: [(&str, &str, &str, &str); 3] = [
    ("Zulmira Quitéria Bragança", "529.982.247-25", "+55 11 91234-5678", "zulmira.braganca@example.org"),
    ("Hermenegildo Vasconcelos", "111.444.777-35", "+55 21 98765-4321", "hermenegildo@example.org"),
    ("Iracema Tupinambá Furtado", "123.456.789-09", "+55 48 99876-1234", "iracema.furtado@example.org"),
];

/// One of the two units.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) unit: Id,
    pub(crate) practitioners: [Id; 2],
    pub(crate) rooms: [Id; 2],
}

pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) centro: Place,
    pub(crate) jardins: Place,
    pub(crate) patients: [Id; 3],
}

pub(crate) fn id() -> Id {
    Id::random().unwrap()
}

/// The number of the refusal.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> u32 {
    match result {
        Err(error) => error.code().unwrap_or_else(|| panic!("a refusal without a number: {error}")),
        Ok(done) => panic!("not refused: {done:?}"),
    }
}

impl World {
    pub(crate) async fn start(settings: &[&str]) -> Self {
        let nodes = vec![NodeSpec::unit("centro"), NodeSpec::unit("jardins"), NodeSpec::off_site("cofre")];
        let network = Network::start(PROGRAM, nodes, settings).await;
        let software = network.client(SOFTWARE, &["centro", "jardins"]);
        let centro = Place::register(&software, "centro").await;
        let jardins = Place::register(&software, "jardins").await;
        let mut patients = [id(), id(), id()];
        for (patient, (name, cpf, phone, email)) in patients.iter_mut().zip(PEOPLE) {
            let demographics = Demographics {
                name: name.to_owned(),
                cpf: cpf.to_owned(),
                phones: vec![phone.to_owned()],
                email: email.to_owned(),
                birth_date: "1970-01-31".to_owned(),
                document: Vec::new().into(),
            };
            let request = RegisterPatientRequest {
                header: None,
                patient_id: patient.to_wire(),
                unit_id: centro.unit.to_wire(),
                demographics: Some(demographics),
            };
            software.register_patient(request).await.unwrap();
        }
        // A node registers its chunk directory by itself, a moment after it is a member.
        until("every chunk directory to count", || async {
            let status = network.status("centro").await.map_err(|error| error.to_string())?;
            let count = status.images.map_or(0, |images| images.nodes.len());
            if count == network.nodes().len() { Ok(()) } else { Err(format!("{count} directories")) }
        })
        .await;
        Self { network, centro, jardins, patients }
    }

    /// The software through one node only.
    pub(crate) fn through(&self, node: &str) -> Cluster {
        self.network.client(SOFTWARE, &[node])
    }

    /// A small record of a patient, written in the first unit.
    pub(crate) fn record(&self, record: Id, patient: Id) -> AddRecordRequest {
        AddRecordRequest {
            header: None,
            record_id: record.to_wire(),
            patient_id: patient.to_wire(),
            unit_id: self.centro.unit.to_wire(),
            kind: "Observation".to_owned(),
            authored_ms: NOON,
            document: b"{}".to_vec().into(),
        }
    }

    /// Everything that a refusal could have changed, as the public plane shows it.
    pub(crate) async fn listing(&self) -> Vec<String> {
        let software = self.through("centro");
        let mut lines = Vec::new();
        for place in [self.centro, self.jardins] {
            lines.push(format!("{:?}", appointments(&software, place.unit).await));
        }
        let patients = ListPatientsRequest { read: None, page: None };
        lines.push(format!("{:?}", software.list_patients(patients).await.unwrap().patients));
        for patient in self.patients {
            let records =
                ListRecordsRequest { read: None, patient_id: patient.to_wire(), newest_first: false, page: None };
            lines.push(format!("{:?}", software.list_records(records).await.unwrap().records));
            let consents = ListConsentsRequest { read: None, patient_id: patient.to_wire(), page: None };
            lines.push(format!("{:?}", software.list_consents(consents).await.unwrap().consents));
        }
        lines
    }
}

pub(crate) async fn appointments(cluster: &Cluster, unit: Id) -> Vec<plantao_proto::public::v1::Appointment> {
    let request = ListAppointmentsRequest {
        read: None::<ReadOptions>,
        of: Some(list_appointments_request::Of::UnitId(unit.to_wire())),
        from_ms: 0,
        to_ms: YEAR_9999_END,
        page: Some(plantao_proto::public::v1::Page { size: 500, token: Vec::new().into() }),
    };
    cluster.list_appointments(request).await.unwrap().appointments
}

impl Place {
    pub(crate) async fn register(software: &Cluster, name: &str) -> Self {
        let place = Self { unit: id(), practitioners: [id(), id()], rooms: [id(), id()] };
        let unit = Unit {
            id: place.unit.to_wire(),
            slug: name.to_owned(),
            name: format!("Unidade {name}"),
            document: Vec::new().into(),
        };
        software.register_unit(RegisterUnitRequest { header: None, unit: Some(unit) }).await.unwrap();
        for (n, practitioner) in place.practitioners.iter().enumerate() {
            let practitioner = Practitioner {
                id: practitioner.to_wire(),
                unit_id: place.unit.to_wire(),
                name: format!("Profissional {n}"),
                label: format!("{name}-prof-{n}"),
                document: Vec::new().into(),
            };
            let request = RegisterPractitionerRequest { header: None, practitioner: Some(practitioner) };
            software.register_practitioner(request).await.unwrap();
        }
        for (n, room) in place.rooms.iter().enumerate() {
            let room = Room {
                id: room.to_wire(),
                unit_id: place.unit.to_wire(),
                name: format!("Sala {n}"),
                label: format!("{name}-sala-{n}"),
                document: Vec::new().into(),
            };
            software.register_room(RegisterRoomRequest { header: None, room: Some(room) }).await.unwrap();
        }
        place
    }

    pub(crate) fn slot(&self, n: usize, start_ms: i64, minutes: i64) -> Slot {
        Slot {
            unit_id: self.unit.to_wire(),
            practitioner_id: self.practitioners[n].to_wire(),
            room_id: self.rooms[n].to_wire(),
            start_ms,
            end_ms: start_ms + minutes * MINUTE,
        }
    }
}

pub(crate) fn booking(patient: Id, slot: Slot) -> BookRequest {
    BookRequest {
        header: None,
        appointment_id: id().to_wire(),
        patient_id: patient.to_wire(),
        slot: Some(slot),
        encaixe_reason: String::new(),
        document: Vec::new().into(),
    }
}

/// For what is refused because of the node that is asked: that is final where no other is known, so the deadline is for
/// the machine.
pub(crate) fn unhurried() -> plantao_client::retry::RetryPolicy {
    let patience = plantao_tests::wait::PATIENCE;
    plantao_client::retry::RetryPolicy { read_deadline: patience, attempt_timeout: patience, ..Default::default() }
}
