//! The promises of the README, each against real nodes, real files and real sockets; and what holds the tree in shape.
//!
//! A network of three processes takes seconds to make, so promises that do not disturb each other share one: each
//! `#[tokio::test]` below is one network and the list of what is held on it, in order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod access;
mod agenda;
mod bad_input;
mod certificates;
mod configuration;
mod contracts;
mod damaged_log;
mod deploy;
mod faults;
mod fuzz;
mod gallery;
mod image_faults;
mod image_keeping;
mod image_refusals;
mod images;
mod json_tables;
mod lead;
mod links;
mod machine;
mod members;
mod proof;
mod quorum;
mod raw;
mod requests;
mod room;
mod secrecy;
mod see;
mod survivor;
mod tidy;
mod trail;
mod unknown_fields;
mod upgrade;
mod upload_steps;
mod wiped;
mod world;

use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_network_keeps_its_promises() {
    let mut world = World::start(&[]).await;
    agenda::a_taken_slot_is_refused_through_every_node(&world).await;
    agenda::of_many_that_want_one_slot_one_gets_it(&world).await;
    agenda::an_encaixe_needs_a_right_and_a_reason_and_never_doubles_a_patient(&world).await;
    agenda::a_change_of_an_old_version_is_refused(&world).await;
    agenda::a_page_shows_the_agenda_of_one_moment(&world).await;
    requests::a_repeated_request_gets_its_first_answer(&world).await;
    requests::a_request_has_a_time_of_its_own(&world).await;
    bad_input::what_has_no_good_form_never_reaches_the_log(&world).await;
    bad_input::what_the_rules_refuse_changes_nothing_but_the_trail(&world).await;
    trail::health_and_metrics_tell_what_they_should(&world).await;
    deploy::a_probe_tells_a_node_that_runs_from_one_that_does_not(&world).await;
    bad_input::bytes_that_are_no_message_are_refused(&world).await;
    unknown_fields::what_a_node_does_not_know_is_refused(&world).await;
    unknown_fields::nodes_of_two_versions_understand_each_other(&world).await;
    trail::another_screen_sees_each_booking_once_and_in_order(&world).await;
    trail::whoever_reads_a_record_is_in_the_trail(&world).await;
    access::every_role_has_the_rights_of_the_table_and_no_other(&world).await;
    access::a_certificate_for_another_port_or_network_or_time_gets_nowhere(&world).await;
    secrecy::no_file_log_or_metric_tells_of_a_patient(&mut world).await;
    world.network.digests_agree().await;
    trail::nobody_had_to_be_woken(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lead_of_a_network_moves() {
    let mut world = World::start(&[]).await;
    lead::the_lead_moves_under_load_and_no_write_fails(&world).await;
    lead::a_plan_for_another_leader_is_refused(&world).await;
    lead::the_tool_moves_the_lead_and_shows_it(&world).await;
    lead::the_lead_goes_where_operators_want_it(&world).await;
    lead::in_a_pause_nobody_leads_before_an_operator_says_so(&mut world).await;
    lead::a_leader_that_dies_is_in_the_history_and_no_leader_is_told(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_keeps_images() {
    let mut world = World::start(&[]).await;
    images::what_was_sent_is_read_back_byte_for_byte_from_each_unit(&world).await;
    images::a_screen_gets_a_small_picture(&world).await;
    images::each_kind_of_image_is_taken_as_what_it_is_and_as_nothing_else(&world).await;
    images::an_image_of_several_parts_is_one_image(&world).await;
    image_refusals::what_is_no_image_is_refused(&world).await;
    image_refusals::a_consent_that_is_revoked_closes_the_image(&world).await;
    image_refusals::only_whoever_may_sees_an_image(&world).await;
    image_refusals::whoever_reads_an_image_is_in_the_trail(&world).await;
    images::a_bad_copy_is_found_by_its_reader_and_healed(&world).await;
    images::many_uploads_at_once_end_well(&world).await;
    proof::copies_on_one_disk_are_not_three(&world).await;
    image_faults::an_acknowledged_image_survives_the_node_that_took_it(&mut world).await;
    image_faults::an_upload_goes_on_where_it_was_cut_through_any_node(&mut world).await;
    world.network.digests_agree().await;
    trail::nobody_had_to_be_woken(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_proves_its_copies() {
    let mut world = World::start(&["chunks.simulated_media=true"]).await;
    proof::what_holds_is_proven_by_every_node(&mut world).await;
    proof::a_file_that_is_gone_is_found_and_named(&mut world).await;
    proof::a_node_that_is_silent_counts_for_nothing(&mut world).await;
    world.network.digests_agree().await;
    trail::nobody_had_to_be_woken(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_in_trouble_keeps_images() {
    let mut world = World::start(&[]).await;
    image_faults::a_full_disk_is_told_and_costs_nothing_else(&mut world).await;
    image_faults::a_sender_whose_node_dies_goes_on_by_itself(&mut world).await;
    upload_steps::at_each_step_of_the_commit_the_ingress_may_die(&mut world).await;
    image_faults::on_one_site_nothing_is_acknowledged(&mut world).await;
    image_faults::a_read_does_not_wait_for_a_node_that_stands_still(&world).await;
    image_faults::a_fourth_node_takes_the_place_of_one_that_is_away(&mut world).await;
    world.network.digests_agree().await;
    trail::nobody_had_to_be_woken(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_runs_out_of_room() {
    let mut world = World::start(&[]).await;
    room::the_lead_goes_where_there_is_room(&mut world).await;
    room::without_room_nothing_is_written_and_everything_is_read(&mut world).await;
    room::a_full_copy_stands_still_and_catches_up(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_a_network() {
    let mut world = World::start(&[]).await;
    see::the_doctor_finds_nothing_bad_in_a_healthy_network(&world).await;
    see::health_and_endpoint_tell_who_works_and_who_leads(&world).await;
    see::the_status_tells_ages_and_whose_view_it_is(&world).await;
    see::a_node_that_is_down_is_found_and_told(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_misbehaves() {
    let mut world = World::start(&[]).await;
    machine::a_disk_that_is_full_or_cannot_be_written_costs_one_node(&mut world).await;
    machine::a_clock_that_is_an_hour_off_loses_the_lead_and_is_told(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_keep_themselves() {
    let mut world = World::start(&image_keeping::SETTINGS).await;
    image_keeping::a_bit_that_flips_in_ten_files_is_found_and_healed(&world).await;
    image_keeping::a_file_that_somebody_removed_comes_back(&world).await;
    image_keeping::a_directory_that_is_lost_while_its_node_runs_is_filled_again(&world).await;
    image_keeping::a_node_that_was_away_and_lost_its_disk_catches_up(&mut world).await;
    image_keeping::what_no_image_names_is_deleted_and_nothing_else(&world).await;
    world.network.digests_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_in_trouble_keeps_its_promises() {
    let mut world = World::start(&["raft.snapshot_entries=100"]).await;
    faults::with_the_link_between_the_units_cut_both_go_on_through_the_third(&world).await;
    links::a_cut_link_is_named_by_every_node_and_a_mended_one_by_none(&world).await;
    links::a_node_that_is_down_is_no_cut_link(&mut world).await;
    faults::a_node_that_is_told_to_stop_hands_over_and_says_so(&mut world).await;
    faults::the_last_node_of_a_network_waits_for_nobody(&mut world).await;
    faults::a_read_is_answered_only_when_it_is_written_down(&mut world).await;
    faults::a_watch_goes_on_through_the_loss_of_its_node(&mut world).await;
    faults::new_certificates_are_taken_and_bad_ones_are_not(&world).await;
    faults::what_was_acknowledged_survives_the_leader_and_a_power_cut_of_all(&mut world).await;
    faults::a_node_that_was_away_catches_up_from_a_snapshot(&mut world).await;
    faults::a_unit_without_its_root_slot_votes_and_serves_no_content(&mut world).await;
    faults::what_would_endanger_the_others_does_not_start(&mut world).await;
    faults::a_join_token_lets_one_node_in_once(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_lost_its_majority_goes_on_by_the_runbook() {
    let mut world = World::start(&[]).await;
    let lost = quorum::two_units_burn_with_what_only_they_had(&mut world).await;
    quorum::the_runbook_as_written_brings_the_network_back(&mut world, &lost).await;
    quorum::members_of_the_past_are_refused_and_stop(&mut world).await;
    world.network.digests_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_changes_its_certificates() {
    let mut world = World::start(&[]).await;
    certificates::nodes_renew_where_the_authority_is_kept(&world).await;
    certificates::a_lost_key_is_worth_nothing_on_any_node(&world).await;
    certificates::the_root_is_changed_under_load(&world).await;
    world.network.digests_agree().await;
    certificates::expired_certificates_on_all_nodes_stop_the_network_and_lose_nothing(&mut world).await;
    world.network.digests_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_changes_its_members() {
    let mut world = World::start(&[]).await;
    let (load, images) = members::it_grows_to_five_and_the_leader_falls_on_the_way(&mut world).await;
    members::what_is_not_safe_or_not_what_was_seen_is_refused(&world).await;
    members::it_shrinks_to_three_and_a_follower_falls_on_the_way(&mut world).await;
    members::never_two_leaders_in_a_term(&world);
    members::who_was_removed_gets_nowhere(&mut world).await;
    let started = members::the_runbook_as_written_replaces_a_unit_that_burned(&mut world, &load).await;
    members::nothing_was_lost(&world, load, &images, started).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_upgraded_node_by_node() {
    let mut world = World::start(&["raft.snapshot_entries=100"]).await;
    let load = upgrade::a_load(&world).await;
    upgrade::before_the_end_every_node_goes_back_and_forth(&mut world).await;
    upgrade::it_ends_only_when_every_node_answers_and_reads_it(&mut world).await;
    upgrade::afterwards_the_old_program_is_refused_and_changes_nothing(&mut world).await;
    upgrade::who_joins_reads_what_the_network_writes(&mut world).await;
    upgrade::nothing_was_lost(&world, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_is_told_to_go_on() {
    let mut world = World::start(&[]).await;
    survivor::while_a_majority_answers_nobody_is_told_to_go_on_alone(&mut world).await;
    survivor::a_survivor_that_runs_goes_on_with_all_it_has(&mut world).await;
    survivor::it_is_in_the_trail_and_the_others_are_refused(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_lose_their_disks() {
    let mut world = World::start(&[]).await;
    wiped::a_leader_and_then_a_follower_lose_their_disks(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_replaces_a_voter_by_itself() {
    let mut world = World::start(&["members.replace_silent_after=20s"]).await;
    wiped::a_voter_that_stays_silent_is_replaced_by_itself(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_the_log_rot() {
    let mut world = World::start(&[]).await;
    damaged_log::a_network_goes_on_without_one_log_and_stops_without_two(&mut world).await;
}
