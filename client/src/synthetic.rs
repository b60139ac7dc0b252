//! A small clinic network that nobody has: three units with professionals, rooms, patients, records, bookings, and
//! bookings that must be refused. The same seed and first day give the same files to the bit. Names are drawn from
//! common Brazilian ones, CPF are valid but drawn by chance, telephone numbers lie in a range of tests.

use serde_json::{Value, json};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

const UNITS: [(&str, &str); 3] =
    [("centro", "Unidade Centro"), ("jardins", "Unidade Jardins"), ("moema", "Unidade Moema")];
const PRACTITIONERS_PER_UNIT: u64 = 4;
const ROOMS_PER_UNIT: u64 = 3;
const GIVEN: [&str; 16] = [
    "Ana", "Antônio", "Beatriz", "Caio", "Débora", "Eduardo", "Flávia", "Gabriel", "Helena", "João", "Letícia",
    "Mateus", "Natália", "Otávio", "Renata", "Sérgio",
];
const FAMILY: [&str; 12] = [
    "Almeida",
    "Araújo",
    "Cardoso",
    "Conceição",
    "Ferreira",
    "Gonçalves",
    "Lima",
    "Magalhães",
    "Oliveira",
    "Rocha",
    "Silveira",
    "Teixeira",
];
const SERVICES: [(&str, u64); 4] = [("Avaliação", 30), ("Toxina botulínica", 45), ("Laser", 60), ("Peeling", 90)];
const FINDINGS: [&str; 4] =
    ["Pele íntegra, sem eritema", "Leve edema, orientada a usar compressa fria", "Boa evolução", "Retorno em 15 dias"];

/// How much is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SyntheticOptions {
    /// Decides everything but the dates.
    pub seed: u64,
    /// First day of bookings, milliseconds since 1970 UTC at 03:00 (midnight in São Paulo); others follow from it.
    pub first_day_ms: i64,
    /// Patients.
    pub patients: u32,
    /// Records, consents included.
    pub records: u32,
    /// Bookings at most; there are fewer when the weeks are full.
    pub appointments: u32,
    /// Bookings that must be refused.
    pub conflicting: u32,
}

impl Default for SyntheticOptions {
    /// 40 patients, 500 records, 300 bookings from 2027-01-04 on, 50 that must be refused.
    fn default() -> Self {
        Self {
            seed: 321,
            first_day_ms: 1_799_031_600_000,
            patients: 40,
            records: 500,
            appointments: 300,
            conflicting: 50,
        }
    }
}

/// What was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct SyntheticCounts {
    /// Units.
    pub organizations: u32,
    /// Professionals.
    pub practitioners: u32,
    /// Rooms.
    pub locations: u32,
    /// Patients.
    pub patients: u32,
    /// Records, consents included.
    pub records: u32,
    /// Bookings, free of overlaps.
    pub appointments: u32,
    /// Bookings that must be refused.
    pub conflicting: u32,
}

/// Name of the file with bookings that must be refused.
pub const CONFLICTING_FILE: &str = "appointments-conflicting.ndjson";

/// SplitMix64: small, and the same for ever.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let bits = u128::from(high) << 64 | u128::from(low);
        let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        crate::id::Id::from_bytes(bits.to_be_bytes()).to_string()
    }
}

/// Eleven digits with their check digits, from nine.
pub fn cpf(nine: u32) -> String {
    let mut digits: Vec<u32> =
        format!("{:09}", nine % 1_000_000_000).bytes().map(|byte| u32::from(byte - b'0')).collect();
    for _ in 0..2 {
        let weight = digits.len() as u32 + 1;
        let sum: u32 = digits.iter().zip((2..=weight).rev()).map(|(digit, weight)| digit * weight).sum();
        digits.push(match sum % 11 {
            0 | 1 => 0,
            rest => 11 - rest,
        });
    }
    digits.into_iter().filter_map(|digit| char::from_digit(digit, 10)).collect()
}

struct Booking {
    patient: usize,
    unit: usize,
    practitioner: u64,
    room: u64,
    start_ms: i64,
    end_ms: i64,
}

fn overlap(a: &Booking, b: &Booking) -> bool {
    let shares = a.patient == b.patient || (a.unit == b.unit && (a.practitioner == b.practitioner || a.room == b.room));
    shares && a.start_ms < b.end_ms && b.start_ms < a.end_ms
}

/// Local time of São Paulo, which has had no summer time since 2019.
fn local(ms: i64) -> String {
    let text = crate::time::format_rfc3339(ms - 3 * 3_600_000).unwrap_or_default();
    format!("{}-03:00", text.trim_end_matches('Z'))
}

/// Writes the files of a clinic into `directory`, which is made when it is not there. Blocks.
pub fn write(directory: &Path, options: &SyntheticOptions) -> io::Result<SyntheticCounts> {
    fs::create_dir_all(directory)?;
    let mut chance = Chance(options.seed);
    let organizations: Vec<Value> =
        UNITS.iter().map(|(id, name)| json!({"resourceType": "Organization", "id": id, "name": name})).collect();
    let mut practitioners = Vec::new();
    let mut locations = Vec::new();
    for (unit, _) in UNITS {
        for nth in 1..=PRACTITIONERS_PER_UNIT {
            let name = format!("{} {}", chance.pick(&GIVEN), chance.pick(&FAMILY));
            practitioners.push(json!({
                "resourceType": "Practitioner", "id": format!("{unit}-prof-{nth}"), "active": true,
                "name": [{"text": name}],
            }));
        }
        for nth in 1..=ROOMS_PER_UNIT {
            locations.push(json!({
                "resourceType": "Location", "id": format!("{unit}-sala-{nth}"), "status": "active",
                "name": format!("Sala {nth}"),
                "managingOrganization": {"reference": format!("Organization/{unit}")},
            }));
        }
    }
    let mut patients = Vec::new();
    let mut patient_ids = Vec::new();
    for nth in 0..options.patients {
        let id = chance.uuid();
        let (given, family) = (*chance.pick(&GIVEN), *chance.pick(&FAMILY));
        // Apart by their number, so that no two share one.
        let nine = (chance.below(100_000) as u32) * 10_000 + nth % 10_000;
        let phone = format!("11 9{:04}-{:04}", 5_000 + nth / 10_000 % 5_000, nth % 10_000);
        patients.push(json!({
            "resourceType": "Patient", "id": id, "active": true,
            "identifier": [{"system": "urn:oid:2.16.840.1.113883.13.237", "value": cpf(nine)}],
            "name": [{"use": "official", "family": family, "given": [given], "text": format!("{given} {family}")}],
            "telecom": [
                {"system": "phone", "value": phone},
                {"system": "email", "value": format!("paciente{nth}@example.com")},
            ],
            "birthDate": format!("{}-{:02}-{:02}", 1945 + chance.below(60), 1 + chance.below(12), 1 + chance.below(28)),
            "managingOrganization": {"reference": format!("Organization/{}", UNITS[nth as usize % UNITS.len()].0)},
        }));
        patient_ids.push(id);
    }
    let records = if patient_ids.is_empty() { Vec::new() } else { records(&mut chance, options, &patient_ids) };
    let (appointments, conflicting) =
        if patient_ids.is_empty() { (Vec::new(), Vec::new()) } else { agenda(&mut chance, options, &patient_ids) };
    for (file, resources) in [
        ("organizations.ndjson", &organizations),
        ("practitioners.ndjson", &practitioners),
        ("locations.ndjson", &locations),
        ("patients.ndjson", &patients),
        ("records.ndjson", &records),
        ("appointments.ndjson", &appointments),
        (CONFLICTING_FILE, &conflicting),
    ] {
        let mut text = Vec::new();
        for resource in resources {
            writeln!(text, "{resource}")?;
        }
        fs::write(directory.join(file), text)?;
    }
    let count = |of: &[Value]| u32::try_from(of.len()).unwrap_or(u32::MAX);
    Ok(SyntheticCounts {
        organizations: count(&organizations),
        practitioners: count(&practitioners),
        locations: count(&locations),
        patients: count(&patients),
        records: count(&records),
        appointments: count(&appointments),
        conflicting: count(&conflicting),
    })
}

fn records(chance: &mut Chance, options: &SyntheticOptions, patients: &[String]) -> Vec<Value> {
    let mut records = Vec::new();
    for nth in 0..options.records {
        let id = chance.uuid();
        let patient = &patients[nth as usize % patients.len()];
        let at = local(options.first_day_ms - (chance.below(700 * 24) as i64 + 24) * 3_600_000);
        // Each patient's first is a consent.
        if (nth as usize) < patients.len() {
            records.push(json!({
                "resourceType": "Consent", "id": id, "status": "active", "dateTime": at,
                "patient": {"reference": format!("Patient/{patient}")},
                "scope": {"coding": [{"code": "treatment"}]},
                "category": [{"text": "atendimento"}], "policyRule": {"text": "LGPD"},
            }));
            continue;
        }
        let subject = json!({"reference": format!("Patient/{patient}")});
        records.push(match chance.below(3) {
            0 => json!({
                "resourceType": "Observation", "id": id, "status": "final", "subject": subject,
                "effectiveDateTime": at, "code": {"text": "Avaliação da pele"}, "valueString": chance.pick(&FINDINGS),
            }),
            1 => json!({
                "resourceType": "Procedure", "id": id, "status": "completed", "subject": subject,
                "performedDateTime": at, "code": {"text": chance.pick(&SERVICES).0},
                "note": [{"text": chance.pick(&FINDINGS)}],
            }),
            _ => json!({
                "resourceType": "Encounter", "id": id, "status": "finished", "subject": subject,
                "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                "period": {"start": at},
            }),
        });
    }
    records
}

fn agenda(chance: &mut Chance, options: &SyntheticOptions, patients: &[String]) -> (Vec<Value>, Vec<Value>) {
    let mut booked: Vec<Booking> = Vec::new();
    // Some draws fall on a taken slot; the bound ends the search when the weeks are full.
    for _ in 0..u64::from(options.appointments) * 50 {
        if booked.len() >= options.appointments as usize {
            break;
        }
        let booking = draw(chance, options, patients.len());
        if !booked.iter().any(|other| overlap(other, &booking)) {
            booked.push(booking);
        }
    }
    let mut refused = Vec::new();
    for _ in 0..u64::from(options.conflicting) * 50 {
        if refused.len() >= options.conflicting as usize || booked.is_empty() {
            break;
        }
        let victim = chance.pick(&booked);
        let mut booking = draw(chance, options, patients.len());
        (booking.start_ms, booking.end_ms) = (victim.start_ms + 15 * 60_000, victim.end_ms + 15 * 60_000);
        match chance.below(3) {
            0 => (booking.unit, booking.practitioner) = (victim.unit, victim.practitioner),
            1 => (booking.unit, booking.room) = (victim.unit, victim.room),
            _ => booking.patient = victim.patient,
        }
        refused.push(booking);
    }
    let show = |chance: &mut Chance, booking: &Booking| {
        let unit = UNITS[booking.unit].0;
        let actor = |reference: String| json!({"actor": {"reference": reference}, "status": "accepted"});
        json!({
            "resourceType": "Appointment", "id": chance.uuid(), "status": "booked",
            "start": local(booking.start_ms), "end": local(booking.end_ms),
            "serviceType": [{"text": chance.pick(&SERVICES).0}],
            "participant": [
                actor(format!("Patient/{}", patients[booking.patient])),
                actor(format!("Practitioner/{unit}-prof-{}", booking.practitioner)),
                actor(format!("Location/{unit}-sala-{}", booking.room)),
            ],
        })
    };
    let booked = booked.iter().map(|booking| show(chance, booking)).collect();
    let refused = refused.iter().map(|booking| show(chance, booking)).collect();
    (booked, refused)
}

/// Some time between 8 and 18 o'clock, within six weeks of five days.
fn draw(chance: &mut Chance, options: &SyntheticOptions, patients: usize) -> Booking {
    let day = chance.below(6) * 7 + chance.below(5);
    let minute = 8 * 60 + chance.below(4 * 9) * 15;
    let start_ms = options.first_day_ms + (day * 24 * 60 + minute) as i64 * 60_000;
    let minutes = chance.pick(&SERVICES).1;
    Booking {
        patient: chance.below(patients as u64) as usize,
        unit: chance.below(UNITS.len() as u64) as usize,
        practitioner: 1 + chance.below(PRACTITIONERS_PER_UNIT),
        room: 1 + chance.below(ROOMS_PER_UNIT),
        start_ms,
        end_ms: start_ms + minutes as i64 * 60_000,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn lines(directory: &Path, file: &str) -> Vec<Value> {
        let text = fs::read_to_string(directory.join(file)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a booking holds, and when.
    fn held(appointment: &Value) -> ([String; 3], i64, i64) {
        let time = |key: &str| crate::time::parse_rfc3339(appointment[key].as_str().unwrap()).unwrap();
        let actor = |at: usize| appointment["participant"][at]["actor"]["reference"].as_str().unwrap().to_owned();
        ([actor(0), actor(1), actor(2)], time("start"), time("end"))
    }

    fn overlaps(a: &Value, b: &Value) -> bool {
        let ((a, a_start, a_end), (b, b_start, b_end)) = (held(a), held(b));
        a.iter().any(|it| b.contains(it)) && a_start < b_end && b_start < a_end
    }

    #[test]
    fn the_clinic_is_valid_and_books_nobody_twice() {
        let directory = tempfile::tempdir().unwrap();
        let counts = write(directory.path(), &SyntheticOptions::default()).unwrap();
        let expected = SyntheticCounts {
            organizations: 3,
            practitioners: 12,
            locations: 9,
            patients: 40,
            records: 500,
            appointments: 300,
            conflicting: 50,
        };
        assert_eq!(counts, expected);
        let appointments = lines(directory.path(), "appointments.ndjson");
        for (at, one) in appointments.iter().enumerate() {
            let (_, start, end) = held(one);
            assert!(start < end);
            assert!(!appointments[..at].iter().any(|other| overlaps(one, other)), "booking {at} overlaps");
        }
        for one in lines(directory.path(), CONFLICTING_FILE) {
            assert!(appointments.iter().any(|other| overlaps(&one, other)));
        }
        let cpfs: BTreeSet<String> = lines(directory.path(), "patients.ndjson")
            .iter()
            .map(|patient| patient["identifier"][0]["value"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(cpfs.len(), 40);
        for found in cpfs {
            assert_eq!(cpf(found[..9].parse().unwrap()), found);
        }
    }

    #[test]
    fn cpf_check_digits_are_those_of_known_numbers() {
        // The two usual examples, and one whose first digit comes out as ten.
        for known in ["11144477735", "52998224725", "46258753906", "76673084626"] {
            assert_eq!(cpf(known[..9].parse().unwrap()), known);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_files() {
        let (a, b, c) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let options = SyntheticOptions::default();
        write(a.path(), &options).unwrap();
        write(b.path(), &options).unwrap();
        write(c.path(), &SyntheticOptions { seed: 1, ..options }).unwrap();
        for file in ["patients.ndjson", "records.ndjson", "appointments.ndjson", CONFLICTING_FILE] {
            let read = |directory: &Path| fs::read(directory.join(file)).unwrap();
            assert_eq!(read(a.path()), read(b.path()), "{file}");
            assert_ne!(read(a.path()), read(c.path()), "{file}");
        }
    }
}
