//! The wire contract of a released version holds for ever: no field, value or method of the golden descriptor may be
//! removed, renumbered, renamed or given another type; a new one is added to the golden copy in the same change.

use crate::tidy::root;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;

/// What must stay: a path such as `plantao.public.v1.Slot.start_ms = 4`, and what it is.
type Contract = BTreeMap<String, String>;

fn contract(bytes: &[u8]) -> Contract {
    let mut lines = Contract::new();
    for file in FileDescriptorSet::decode(bytes).unwrap().file {
        let package = file.package().to_owned();
        for message in &file.message_type {
            add_message(&package, message, &mut lines);
        }
        for values in &file.enum_type {
            add_enum(&package, values, &mut lines);
        }
        for service in &file.service {
            for method in &service.method {
                let path = format!("{package}.{}/{}", service.name(), method.name());
                let streams = (method.client_streaming(), method.server_streaming());
                lines.insert(path, format!("{} → {} {streams:?}", method.input_type(), method.output_type()));
            }
        }
    }
    lines
}

fn add_message(scope: &str, message: &DescriptorProto, lines: &mut Contract) {
    let path = format!("{scope}.{}", message.name());
    lines.insert(path.clone(), "message".to_owned());
    for field in &message.field {
        let kind = Type::try_from(field.r#type.unwrap_or(0)).map_or("?", |kind| kind.as_str_name());
        let label = Label::try_from(field.label.unwrap_or(0)).map_or("?", |label| label.as_str_name());
        // Moving a field into or out of a oneof changes what a reader sees.
        let one_of = field.oneof_index.and_then(|at| message.oneof_decl.get(usize::try_from(at).ok()?));
        let one_of = one_of.map_or("", |one_of| one_of.name());
        lines.insert(
            format!("{path}.{} = {}", field.name(), field.number()),
            format!("{label} {kind} {} {one_of}", field.type_name()),
        );
    }
    for inner in &message.nested_type {
        add_message(&path, inner, lines);
    }
    for values in &message.enum_type {
        add_enum(&path, values, lines);
    }
}

fn add_enum(scope: &str, values: &prost_types::EnumDescriptorProto, lines: &mut Contract) {
    for value in &values.value {
        let path = format!("{scope}.{}.{} = {}", values.name(), value.name(), value.number());
        lines.insert(path, "value".to_owned());
    }
}

fn broken(golden: &Contract, now: &Contract) -> Vec<String> {
    golden
        .iter()
        .filter(|(path, kind)| now.get(*path) != Some(*kind))
        .map(|(path, kind)| format!("{path}: {kind}"))
        .collect()
}

#[test]
fn nothing_of_the_golden_contract_is_removed_renumbered_or_retyped() {
    let path = root().join("proto/golden/v1.binpb");
    let golden = contract(&std::fs::read(&path).unwrap());
    let now = contract(plantao_proto::DESCRIPTORS);
    assert!(golden.len() > 300, "only {} lines: the golden copy is not whole", golden.len());
    let broken = broken(&golden, &now);
    assert!(broken.is_empty(), "a program or a node of another version would break:\n  {}", broken.join("\n  "));
    let new: Vec<&String> = now.keys().filter(|path| !golden.contains_key(*path)).collect();
    if !new.is_empty() && std::env::var_os("PLANTAO_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, plantao_proto::DESCRIPTORS).unwrap();
        return;
    }
    assert!(new.is_empty(), "not in the golden copy yet (PLANTAO_UPDATE_GOLDEN=1 adds them): {new:?}");
}

// The test above is worth what its comparison finds: each kind of break is made once.
#[test]
fn the_comparison_finds_each_kind_of_break() {
    let golden = contract(plantao_proto::DESCRIPTORS);
    let changed = |change: fn(&mut FileDescriptorSet)| {
        let mut set = FileDescriptorSet::decode(plantao_proto::DESCRIPTORS).unwrap();
        change(&mut set);
        broken(&golden, &contract(&set.encode_to_vec())).len()
    };
    assert_eq!(changed(|_| {}), 0);
    fn first(set: &mut FileDescriptorSet) -> &mut DescriptorProto {
        set.file.iter_mut().flat_map(|file| &mut file.message_type).find(|m| m.field.len() > 1).unwrap()
    }
    assert_eq!(changed(|set| drop(first(set).field.remove(0))), 1);
    assert_eq!(changed(|set| first(set).field[0].number = Some(99)), 1);
    assert_eq!(changed(|set| first(set).field[0].set_type(Type::Double)), 1);
    assert_eq!(changed(|set| first(set).field[0].name = Some("other".to_owned())), 1);
    fn service(set: &mut FileDescriptorSet) -> &mut prost_types::ServiceDescriptorProto {
        set.file.iter_mut().flat_map(|file| &mut file.service).next().unwrap()
    }
    assert_eq!(changed(|set| drop(service(set).method.remove(0))), 1);
    assert_eq!(changed(|set| service(set).method[0].server_streaming = Some(true)), 1);
}
