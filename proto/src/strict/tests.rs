//! The walk against a naive model, and against prost on bytes that are not as they should be.

use super::*;
use crate::{DESCRIPTORS, admin, peer, public};
use proptest::prelude::*;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;

/// The contract as the descriptors say it, read again by other code than that of `build.rs`.
struct Contract {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, Vec<i32>>,
    /// (package, input, output)
    methods: Vec<(String, String, String)>,
}

fn contract() -> Contract {
    fn add(contract: &mut Contract, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for inner in &message.nested_type {
            add(contract, &name, inner);
        }
        assert!(message.enum_type.is_empty(), "not read below");
        contract.messages.insert(name, message.clone());
    }
    let mut contract = Contract { messages: BTreeMap::new(), enums: BTreeMap::new(), methods: Vec::new() };
    for file in FileDescriptorSet::decode(DESCRIPTORS).unwrap().file {
        let scope = format!(".{}", file.package());
        for message in &file.message_type {
            add(&mut contract, &scope, message);
        }
        for values in &file.enum_type {
            let numbers = values.value.iter().map(|value| value.number()).collect();
            contract.enums.insert(format!("{scope}.{}", values.name()), numbers);
        }
        for method in file.service.iter().flat_map(|service| &service.method) {
            let types = (method.input_type().to_owned(), method.output_type().to_owned());
            contract.methods.push((file.package().to_owned(), types.0, types.1));
        }
    }
    contract
}

fn form(name: &str) -> &'static Form {
    REQUESTS.iter().find(|(of, _)| *of == name).unwrap_or_else(|| panic!("{name} has no form")).1
}

fn assert_same(contract: &Contract, name: &str, form: &Form) {
    let message = &contract.messages[name];
    assert_eq!(form.name, message.name());
    assert_eq!(form.fields.len(), message.field.len(), "{name}");
    assert!(form.fields.windows(2).all(|pair| pair[0].number < pair[1].number), "{name}: not in order");
    for field in &message.field {
        let number = u32::try_from(field.number()).unwrap();
        let ours = form.fields.iter().find(|ours| ours.number == number).unwrap();
        match (field.r#type(), &ours.content) {
            (Type::Message, Content::Message(inner)) => assert_same(contract, field.type_name(), inner),
            (Type::Enum, Content::Enum(values)) => assert_eq!(contract.enums[field.type_name()], *values),
            (Type::Message | Type::Enum, other) => panic!("{name} {number}: {other:?}"),
            (_, content) => assert!(matches!(content, Content::Plain), "{name} {number}: {content:?}"),
        }
    }
}

#[test]
fn every_request_of_the_public_and_admin_plane_is_read_strictly_and_nothing_else() {
    let contract = contract();
    let planes = |strict: bool| contract.methods.iter().filter(move |(package, ..)| package.contains("peer") != strict);
    let requests: Vec<&String> = planes(true).map(|(_, input, _)| input).collect();
    assert!(requests.len() > 30, "only {} methods", requests.len());
    for name in &requests {
        assert_same(&contract, name, form(name));
    }
    assert_eq!(REQUESTS.len(), requests.len(), "each method has a request of its own");
    for name in planes(false).flat_map(|(_, input, output)| [input, output]).chain(planes(true).map(|(.., o)| o)) {
        assert!(!REQUESTS.iter().any(|(strict, _)| strict == name), "{name} is read strictly");
    }
    // That the table is the one that the codec uses.
    assert_eq!(public::v1::BookRequest::FORM.unwrap().name, "BookRequest");
    assert_eq!(admin::v1::GetStatusRequest::FORM.unwrap().name, "GetStatusRequest");
    assert!(public::v1::BookResponse::FORM.is_none());
    assert!(peer::v1::AppendRequest::FORM.is_none() && peer::v1::AppendResponse::FORM.is_none());
}

fn header() -> public::v1::RequestHeader {
    public::v1::RequestHeader { request_id: vec![7; 16].into(), not_after_ms: 1_800_000_000_000 }
}

fn booking() -> public::v1::BookRequest {
    let slot = public::v1::Slot {
        unit_id: vec![1; 16].into(),
        practitioner_id: vec![2; 16].into(),
        room_id: vec![3; 16].into(),
        start_ms: -5,
        end_ms: i64::MAX,
    };
    public::v1::BookRequest {
        header: Some(header()),
        appointment_id: vec![4; 16].into(),
        patient_id: vec![5; 16].into(),
        slot: Some(slot),
        encaixe_reason: "dor".to_owned(),
        document: vec![0xff; 300].into(),
    }
}

fn field(number: u32, wire: WireType, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(number, wire, &mut bytes);
    if wire == WireType::LengthDelimited {
        encode_varint(content.len() as u64, &mut bytes);
    }
    bytes.extend_from_slice(content);
    bytes
}

fn refused<U: Received>(bytes: &[u8]) -> Status {
    read::<U>(bytes).map(drop).unwrap_err()
}

#[test]
fn a_refusal_says_what_and_what_to_do_and_nothing_of_the_content() {
    let good = booking().encode_to_vec();
    assert_eq!(read::<public::v1::BookRequest>(&good[..]).unwrap(), booking());
    let secret = b"Ana Maria";
    let mut slot = booking().slot.unwrap().encode_to_vec();
    slot.extend(field(9, WireType::LengthDelimited, secret));
    let nested = field(4, WireType::LengthDelimited, &slot);
    let state = field(4, WireType::Varint, &[99]);
    let text = field(5, WireType::LengthDelimited, b"\xff\xfe Ana Maria");
    for (status, code, words) in [
        (
            refused::<public::v1::BookRequest>(&[&good[..], &field(1007, WireType::LengthDelimited, secret)].concat()),
            "1402",
            "field 1007 of BookRequest is not known to this node: it would be dropped silently",
        ),
        (refused::<public::v1::BookRequest>(&nested), "1402", "field 9 of Slot is not known to this node"),
        (
            refused::<public::v1::ChangeAppointmentStateRequest>(&state),
            "1402",
            "field 4 of ChangeAppointmentStateRequest has a value that is not known to this node",
        ),
        (refused::<public::v1::BookRequest>(&good[..good.len() - 1]), "1403", "BookRequest cannot be read: it is cut"),
        (refused::<public::v1::BookRequest>(&text), "1403", "BookRequest.encaixe_reason: invalid string"),
        (refused::<admin::v1::GetStatusRequest>(&field(1, WireType::Varint, &[1])), "1402", "field 1 of GetStatus"),
    ] {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(words), "{status}");
        assert!(!status.message().contains("Ana"), "{status}");
        let metadata = status.metadata();
        assert_eq!(metadata.get(CODE_KEY).unwrap(), code);
        assert_eq!(metadata.get(OUTCOME_KEY).unwrap(), NOT_DONE);
        assert!(!metadata.get_bin(HELP_KEY).unwrap().to_bytes().unwrap().is_empty());
    }
}

/// A newer node may tell more than an older program reads, and nodes of two versions must understand each other.
#[test]
fn answers_and_what_nodes_send_each_other_may_have_more() {
    let more = field(1007, WireType::LengthDelimited, b"later");
    let answer = public::v1::BookResponse { outcome: Some(public::v1::WriteOutcome { outcome: None, index: 9 }) };
    let bytes = [answer.encode_to_vec(), more.clone()].concat();
    assert_eq!(read::<public::v1::BookResponse>(&bytes[..]).unwrap(), answer);
    let vote = peer::v1::VoteRequest { vote: Some(peer::v1::VoteState::default()), ..Default::default() };
    let bytes = [more, vote.encode_to_vec()].concat();
    assert_eq!(read::<peer::v1::VoteRequest>(&bytes[..]).unwrap(), vote);
    // A status, not a panic, as tonic's own codec gives it.
    assert_eq!(refused::<peer::v1::VoteRequest>(&[0xff; 20]).code(), Code::Internal);
}

#[test]
fn enumerations_are_looked_at_alone_and_in_lists() {
    let purposes = |list: &[u64], packed: bool| {
        let mut body = Vec::new();
        for value in list {
            if !packed {
                encode_key(5, WireType::Varint, &mut body);
            }
            encode_varint(*value, &mut body);
        }
        let bytes = if packed { field(5, WireType::LengthDelimited, &body) } else { body };
        check(public::v1::GrantConsentRequest::FORM.unwrap(), &bytes, DEPTH_MAX)
    };
    let unknown = Err(Fault::UnknownValue { message: "GrantConsentRequest", number: 5 });
    for packed in [false, true] {
        assert_eq!(purposes(&[1, 5, 0, 5], packed), Ok(()));
        assert_eq!(purposes(&[1, 2, 6], packed), unknown);
        // Negative, and a number whose lower half alone is known: protobuf takes that half.
        assert_eq!(purposes(&[u64::MAX], packed), unknown);
        assert_eq!(purposes(&[(7 << 32) | 5], packed), Ok(()));
    }
}

/// A message that holds itself, as none of ours does so far.
static CHAIN: Form = Form { name: "Chain", fields: &[Field { number: 1, content: Content::Message(&CHAIN) }] };

#[test]
fn messages_inside_of_each_other_are_followed_as_far_as_prost_goes() {
    let chain = |links: usize| (0..links).fold(Vec::new(), |inner, _| field(1, WireType::LengthDelimited, &inner));
    assert_eq!(check(&CHAIN, &chain(100), DEPTH_MAX), Ok(()));
    let deep = Err(Fault::Malformed { message: "Chain", why: "it is nested too deeply" });
    for links in [101, 5_000] {
        assert_eq!(check(&CHAIN, &chain(links), DEPTH_MAX), deep);
    }
    let bad = [chain(3), field(2, WireType::Varint, &[0])].concat();
    assert_eq!(check(&CHAIN, &bad, DEPTH_MAX), Err(Fault::UnknownField { message: "Chain", number: 2 }));
}

#[test]
fn numbers_are_read_as_prost_reads_them() {
    let samples: [&[u8]; 10] = [
        &[],
        &[0],
        &[0x7f],
        &[0x80],
        &[0x80, 0],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
        &[0xff; 12],
    ];
    for bytes in samples {
        let (mut ours, mut theirs) = (bytes, bytes);
        let read = varint(&mut ours);
        assert_eq!(read, decode_varint(&mut theirs).ok(), "{bytes:?}");
        assert!(read.is_none() || ours == theirs, "{bytes:?}: another end");
    }
    // Field 0, a number beyond 32 bits, groups, and the two kinds that protobuf never gave a meaning.
    let form = public::v1::BookRequest::FORM.unwrap();
    for bytes in [&[0][..], &[2, 0], &[0x88, 0x80, 0x80, 0x80, 0x10, 0], &[0x0b, 0x0c], &[0x0c], &[0x0e], &[0x0f]] {
        assert!(matches!(check(form, bytes, DEPTH_MAX), Err(Fault::Malformed { .. })), "{bytes:?}");
    }
}

/// Whether something in `bytes` is unknown, found by prost's own functions; `None` when they cannot be read.
fn has_unknown(contract: &Contract, name: &str, mut bytes: &[u8]) -> Option<bool> {
    let message = &contract.messages[name];
    let mut unknown = false;
    while !bytes.is_empty() {
        let (number, wire) = decode_key(&mut bytes).ok()?;
        let Some(field) = message.field.iter().find(|field| field.number() == i32::try_from(number).unwrap()) else {
            skip_field(wire, number, &mut bytes, DecodeContext::default()).ok()?;
            unknown = true;
            continue;
        };
        let mut body = bytes;
        skip_field(wire, number, &mut bytes, DecodeContext::default()).ok()?;
        body = &body[..body.len() - bytes.len()];
        if wire == WireType::LengthDelimited {
            decode_varint(&mut body).ok()?;
        }
        match field.r#type() {
            Type::Message if wire == WireType::LengthDelimited => {
                unknown |= has_unknown(contract, field.type_name(), body)?;
            }
            Type::Enum => {
                while !body.is_empty() {
                    let value = i64::try_from(decode_varint(&mut body).ok()? & 0xffff_ffff).ok()?;
                    unknown |= !contract.enums[field.type_name()].iter().any(|known| i64::from(*known) == value);
                }
            }
            _ => {}
        }
    }
    Some(unknown)
}

/// What the walk lets through has nothing unknown in it; what it refuses as unknown prost would have taken, or could
/// not have read either.
fn assert_agrees<U: Received>(contract: &Contract, name: &str, bytes: &[u8]) {
    let form = U::FORM.unwrap();
    let unknown = has_unknown(contract, name, bytes);
    match check(form, bytes, DEPTH_MAX) {
        Ok(()) if U::decode(bytes).is_ok() => assert_eq!(unknown, Some(false), "{name} {bytes:?}"),
        Ok(()) => {}
        Err(Fault::Malformed { .. }) => assert!(U::decode(bytes).is_err(), "{name} {bytes:?}: readable after all"),
        Err(_) => assert_ne!(unknown, Some(false), "{name} {bytes:?}: nothing is unknown"),
    }
}

#[test]
fn every_prefix_and_every_flipped_bit_has_a_verdict_that_is_right() {
    let contract = contract();
    let state = public::v1::ChangeAppointmentStateRequest {
        header: Some(header()),
        state: public::v1::AppointmentState::Arrived.into(),
        ..Default::default()
    };
    let consent = public::v1::GrantConsentRequest { purposes: vec![1, 2, 5], ..Default::default() };
    fn try_all<U: Received>(contract: &Contract, name: &str, message: &U) {
        let good = message.encode_to_vec();
        assert_eq!(has_unknown(contract, name, &good), Some(false));
        check(U::FORM.unwrap(), &good, DEPTH_MAX).unwrap();
        for end in 0..good.len() {
            assert_agrees::<U>(contract, name, &good[..end]);
        }
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_agrees::<U>(contract, name, &bytes);
        }
    }
    try_all(&contract, ".plantao.public.v1.BookRequest", &booking());
    try_all(&contract, ".plantao.public.v1.ChangeAppointmentStateRequest", &state);
    try_all(&contract, ".plantao.public.v1.GrantConsentRequest", &consent);
}

/// One step of a message that is written by chance: which field, and what for.
type Step = (usize, u64, Vec<u8>);

/// Writes a message of that form: fields in any order, again and again; where a step says so, one that is unknown.
/// Gives whether there is one.
fn write(form: &Form, steps: &mut impl Iterator<Item = Step>, depth: u32, into: &mut Vec<u8>) -> bool {
    let mut unknown = false;
    while let Some((pick, value, text)) = steps.next() {
        if pick % 7 == 0 && depth < DEPTH_MAX {
            // The end of this message; the rest goes to the outer one.
            return unknown;
        }
        if pick % 31 == 0 || form.fields.is_empty() {
            let number = 1 + u32::try_from(value % 4000).unwrap();
            if form.fields.iter().all(|field| field.number != number) {
                into.extend(field(number, WireType::LengthDelimited, &text));
                unknown = true;
            }
            continue;
        }
        let chosen = &form.fields[pick % form.fields.len()];
        match &chosen.content {
            Content::Plain if value % 3 == 0 => into.extend(field(chosen.number, WireType::LengthDelimited, &text)),
            Content::Plain if value % 3 == 1 => into.extend(field(chosen.number, WireType::SixtyFourBit, &[9; 8])),
            Content::Plain => {
                encode_key(chosen.number, WireType::Varint, into);
                encode_varint(value, into);
            }
            Content::Enum(values) => {
                let value = if pick % 29 == 0 { 100 + value % 100 } else { value % values.len() as u64 };
                unknown |= !values.contains(&i32::try_from(value).unwrap());
                encode_key(chosen.number, WireType::Varint, into);
                encode_varint(value, into);
            }
            Content::Message(inner) => {
                let mut body = Vec::new();
                unknown |= write(inner, steps, depth - 1, &mut body);
                into.extend(field(chosen.number, WireType::LengthDelimited, &body));
            }
        }
    }
    unknown
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_message_is_refused_exactly_when_something_in_it_is_unknown(
        which in 0..REQUESTS.len(),
        steps in prop::collection::vec((any::<usize>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..9)), 0..40),
    ) {
        let (_, form) = REQUESTS[which];
        let mut bytes = Vec::new();
        let unknown = write(form, &mut steps.into_iter(), DEPTH_MAX, &mut bytes);
        match check(form, &bytes, DEPTH_MAX) {
            Ok(()) => prop_assert!(!unknown, "something unknown went through"),
            Err(Fault::UnknownField { .. } | Fault::UnknownValue { .. }) => prop_assert!(unknown),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn no_bytes_panic(which in 0..REQUESTS.len(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = check(REQUESTS[which].1, &bytes, DEPTH_MAX);
    }
}
