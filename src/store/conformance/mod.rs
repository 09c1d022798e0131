//! The rules of [`Store`](super::Store), each of them a test whose name is a sentence. A store provides a [`Harness`]
//! and the line `conformance_suite!(ItsHarness);`, which runs all of them.

use std::sync::Arc;

use super::{Store, StoreLimits};
use crate::clock::ManualClock;
use crate::job::Time;

pub(crate) mod access;
pub(crate) mod actor;
pub(crate) mod claim;
pub(crate) mod clock;
pub(crate) mod control;
mod draft;
pub(crate) mod enqueue;
pub(crate) mod history;
pub(crate) mod keys;
pub(crate) mod kinds;
pub(crate) mod lease;
pub(crate) mod life;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod place;
pub(crate) mod read;
pub(crate) mod restart;
pub(crate) mod retention;
mod rig;
pub(crate) mod schedule;
pub(crate) mod search;
pub(crate) mod settle;
pub(crate) mod signals;
pub(crate) mod snapshot;
pub(crate) mod time;
pub(crate) mod verdicts;

pub(crate) use draft::{Draft, draft};
pub(crate) use rig::{Outage, Rig, completed, failed, kinds, lines, per_minute, queue, secs};

/// Gives a rule the store's clock, and opens the store again after a close or a crash.
pub(crate) trait Harness {
    /// Creates a harness for an empty store that uses this clock.
    fn new(clock: ManualClock) -> Self;

    /// The clock of the store.
    fn clock(&self) -> &ManualClock;

    /// Opens the empty store. Called once.
    async fn open(&mut self, limits: StoreLimits) -> Arc<dyn Store>;

    /// Closes the store in an orderly way and opens it again with the same limits. `store` is the only handle.
    async fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store>;

    /// Drops the store without closing it, as a crash of the process does, and opens it again with the same limits.
    /// Everything that was durable before must still be there.
    async fn crash(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store>;
}

/// A manual clock that shows a Friday in 2027.
pub(crate) fn clock() -> ManualClock {
    ManualClock::at(Time::from_millis(1_800_000_000_000))
}

/// Generates one test per rule for a store: `conformance_suite!(ItsHarness);`
macro_rules! conformance_suite {
    ($harness:ty) => {
        $crate::store::conformance::rules! { $harness:
            enqueue {
                a_job_is_kept_as_it_was_asked_for
                a_batch_is_answered_and_logged_in_its_order
                an_empty_batch_changes_nothing
                only_a_job_for_later_is_scheduled
                a_full_backlog_accepts_nothing_of_a_batch
                only_waiting_jobs_count_against_the_backlog
                an_existing_job_is_answered_even_when_the_backlog_is_full
                one_queue_too_many_is_refused
                a_payload_of_a_mebibyte_survives
                odd_text_survives
            }
            keys {
                a_key_makes_one_job
                a_key_makes_one_job_within_a_batch
                a_key_of_another_submission_is_refused
                a_batch_with_a_key_of_another_submission_is_refused_as_a_whole
                a_key_of_a_job_outside_of_the_scope_is_refused_without_a_word_about_the_job
                a_finished_job_still_has_its_key
                a_running_or_waiting_job_has_its_key_after_a_crash
                a_deleted_job_frees_its_key
                a_pruned_job_frees_its_key
            }
            claim {
                a_lease_holds_the_job_as_it_was_claimed
                running_jobs_are_read_together_and_others_left_out
                the_token_is_the_number_of_the_started_event
                the_highest_priority_goes_first_then_the_earliest_then_the_oldest
                a_claim_never_gives_more_than_asked_for
                a_claim_takes_from_its_queue_only
                a_claim_takes_only_the_kinds_of_its_worker
                the_order_holds_over_kinds_and_queues
                unknown_and_repeated_queues_are_harmless
                only_available_jobs_are_claimed
                a_paused_queue_gives_nothing
                every_attempt_is_counted_and_has_its_own_token
                concurrent_claims_share_the_jobs
            }
            limits {
                many_claimers_never_run_more_than_the_concurrency
                many_claimers_never_start_more_than_the_rate
                a_limit_leaves_the_rest_of_a_claim_to_other_queues
                a_claim_that_a_rate_holds_back_says_when_to_ask_again
                a_claim_of_other_kinds_is_not_held_back
                configured_limits_hold_until_others_are_set
                a_limit_that_is_lowered_ends_no_attempt
                a_full_queue_is_woken_when_an_attempt_ends
                a_rate_holds_over_restarts
                a_rate_does_not_follow_a_clock_that_is_set
                a_job_that_is_settled_or_given_back_frees_its_slot
            }
            settle {
                a_lease_settles_once
                a_stale_lease_is_refused
                a_lease_of_nothing_is_refused
                a_lease_of_a_deleted_job_is_refused
                a_lease_that_ran_out_settles_until_it_is_rescued
                one_refusal_does_not_touch_the_others
                nothing_to_settle_changes_nothing
                only_one_of_many_settlers_wins
                a_repeated_settlement_can_be_answered_from_the_record
            }
            verdicts {
                a_completed_job_keeps_its_result
                a_failed_attempt_is_followed_by_another
                the_last_failed_attempt_discards_the_job
                a_discarded_job_keeps_its_failure
                a_snoozed_job_waits_and_is_not_charged
                an_interrupted_job_is_available_again_and_not_charged
                a_cancelled_attempt_ends_the_job
                a_job_that_is_to_be_cancelled_never_waits_again
                a_job_that_ends_by_itself_was_not_cancelled
                the_whole_story_of_a_job_is_kept
            }
            lease {
                an_extended_lease_ends_later
                an_extension_counts_from_now_even_when_that_is_sooner
                extensions_are_answered_in_order
                a_lease_to_be_cancelled_is_extended_too
                a_lease_that_ran_out_can_be_extended_until_it_is_rescued
                notes_are_kept_with_the_job_and_in_the_log
                only_the_newest_progress_is_kept_and_a_new_attempt_has_none
                notes_of_a_stale_lease_are_dropped
                a_long_log_keeps_its_newest_lines
                a_line_longer_than_the_log_is_counted_and_dropped
            }
            control {
                a_waiting_job_is_cancelled_at_once
                a_running_job_is_asked_to_stop_once
                a_finished_job_cannot_be_cancelled
                a_retried_job_is_available_now
                a_retried_dead_job_has_an_attempt_left
                a_job_that_runs_or_is_ready_cannot_be_retried
                a_deleted_job_is_gone_but_its_story_stays
                a_running_job_cannot_be_deleted
                a_control_answers_for_each_job_in_order
                pausing_and_resuming_are_events_only_when_they_change
                a_paused_queue_stays_paused_over_restarts
                a_paused_queue_stays_paused_when_its_event_has_left_the_log
                a_job_of_a_paused_queue_can_still_end
                a_paused_queue_counts_as_a_queue
                a_concurrency_that_was_set_survives_and_is_an_event_only_when_it_changes
                a_queue_with_a_concurrency_counts_as_a_queue
                a_rate_that_was_set_survives_and_is_an_event_only_when_it_changes
                a_queue_with_a_rate_counts_as_a_queue
                the_settings_of_a_queue_survive_together_and_change_one_by_one
            }
            time {
                a_tick_with_nothing_to_do_does_nothing
                a_job_becomes_available_when_its_time_comes
                a_failed_job_becomes_available_when_its_wait_is_over
                due_jobs_come_in_the_order_of_their_times
                a_lease_that_runs_out_is_rescued
                a_last_attempt_that_is_lost_discards_the_job
                a_lost_job_that_was_to_be_cancelled_is_cancelled
                a_tick_does_one_step_of_due_jobs_and_asks_for_more
                a_tick_does_one_step_of_rescues_and_asks_for_more
                a_tick_tells_when_the_next_one_is_needed
            }
            clock {
                setting_the_clock_ends_no_lease_and_prolongs_none
                a_tick_says_how_far_the_clock_was_set
                a_delay_lasts_as_long_as_it_was_to_last
                a_chosen_time_follows_the_clock
                a_delay_that_began_while_the_clock_was_ahead_begins_again
                a_delay_is_not_prolonged_by_a_restart
                a_job_from_a_clock_that_was_ahead_is_not_claimed_after_all_others
                a_schedule_follows_a_clock_that_was_years_ahead_and_is_corrected
                a_clock_set_back_a_little_runs_no_schedule_twice
                a_paused_schedule_is_counted_again_too
                what_finished_while_the_clock_was_ahead_does_not_stay_for_years
            }
            schedule {
                a_schedule_is_kept_as_it_was_asked_for
                a_schedule_of_a_long_payload_leaves_nothing_behind
                a_schedule_enqueues_its_job_when_it_is_due
                what_was_missed_is_one_run
                a_run_that_would_be_too_late_is_skipped
                of_missed_times_one_that_is_not_too_late_is_run
                a_schedule_that_must_not_overlap_waits_for_its_last_job
                a_paused_schedule_makes_up_for_nothing
                a_schedule_is_fired_by_hand
                a_declared_schedule_is_changed_by_its_declaration_only
                one_schedule_too_many_is_refused
                schedules_fire_by_their_times_one_step_at_a_tick
                the_timer_is_woken_for_an_earlier_schedule
            }
            retention {
                finished_jobs_go_when_they_are_too_old
                the_oldest_finished_jobs_go_when_they_are_too_many
                a_tick_prunes_one_step_and_asks_for_more
                a_retried_job_is_pruned_by_its_last_end
                a_pruned_job_stays_gone_and_counts_nowhere
                an_age_without_end_keeps_for_ever
                the_log_is_trimmed_by_count_and_shows_the_gap
                the_log_is_trimmed_by_age
                a_job_outlives_its_events
            }
            log {
                the_log_is_dense_from_one
                the_log_can_be_read_from_any_place
                a_read_of_the_log_is_bounded_by_bytes_and_goes_on_where_it_ended
                a_read_of_the_log_that_nobody_waits_for_is_under_way_no_more
                a_place_that_never_was_is_a_gap
                a_record_is_the_fold_of_its_events
                a_follower_sees_exactly_the_log
                a_follower_sees_concurrent_changes_in_order
                a_slow_follower_never_holds_the_store_up
                a_follower_that_left_is_forgotten
                an_answer_comes_after_its_events_can_be_read
                what_is_read_can_be_followed_from_its_cursor
            }
            place {
                a_moved_job_waits_in_its_new_queue
                a_job_keeps_its_place_in_time_when_it_moves
                a_reprioritised_job_runs_when_its_priority_says
                moving_to_the_same_place_is_no_event
                only_waiting_jobs_are_moved_or_reprioritised
                one_queue_too_many_is_not_moved_to
                moved_and_reprioritised_jobs_survive_a_restart
            }
            search {
                a_search_finds_what_stands_in_the_record
                jobs_are_found_by_when_they_ended
                the_error_of_a_job_that_came_through_is_not_found
                a_list_is_bounded_by_the_time_in_the_ids
                a_search_stops_after_its_step_and_goes_on_from_there
                a_search_stops_when_its_time_is_over_and_goes_on_from_there
                searches_that_are_to_end_still_come_further
                a_hostile_payload_is_searched_like_any_other
                a_search_does_not_depend_on_how_json_is_escaped
            }
            read {
                a_page_is_bounded_by_bytes_and_goes_on_where_it_ended
                a_job_that_never_was_is_not_found
                what_was_answered_is_seen_by_the_next_reader
                jobs_are_listed_newest_first_each_once
                a_listed_job_is_the_whole_job
                a_list_can_be_filtered
                a_page_is_never_longer_than_the_limit_allows
                a_job_added_while_paging_disturbs_no_page
                the_counters_equal_a_recount
                a_ready_job_knows_how_many_are_claimed_before_it
                only_a_ready_job_has_a_place
                a_queue_is_known_while_it_has_jobs_or_is_paused
                a_queue_tells_since_when_its_oldest_job_waits
            }
            signals {
                a_queue_is_woken_for_a_new_job
                a_queue_is_woken_whenever_a_job_becomes_available
                a_waiter_is_woken_while_it_waits
                the_timer_is_woken_for_an_earlier_end
                the_timer_is_woken_for_a_shorter_lease
            }
            restart {
                an_orderly_restart_changes_nothing
                a_restart_of_an_empty_store_is_empty
                a_crash_loses_nothing_that_was_answered
                the_log_goes_on_after_a_restart
                running_jobs_are_given_back_at_once
                running_jobs_are_given_back_after_an_orderly_close_too
                a_crash_on_the_last_attempt_discards_the_job
                a_crash_of_a_job_to_be_cancelled_cancels_it
                lost_jobs_are_given_back_in_the_order_of_their_ids
                a_job_is_given_back_once_however_often_the_server_restarts
                timers_survive
                changed_limits_of_attempts_survive
                a_large_backlog_keeps_its_order
                every_opening_is_remembered
                a_remote_worker_goes_on_over_restarts
                a_remote_lease_lasts_its_length_from_the_opening
                a_remote_lease_is_kept_when_its_record_was_copied_forward
                only_the_current_holder_of_a_job_decides_what_a_restart_does
            }
            actor {
                every_event_that_somebody_caused_has_the_actor
                a_schedule_is_the_actor_of_its_jobs
                the_actors_of_finished_jobs_survive
                a_change_of_users_is_an_event_with_its_actor
                notices_of_workers_are_events_in_their_order
            }
            kinds {
                a_declared_kind_is_kept_as_it_was_asked_for
                a_change_of_kinds_is_an_event_with_its_actor
                an_announced_kind_declares_nothing_else
                one_declared_kind_too_many_is_refused
                jobs_of_a_deleted_kind_stay_and_wait
                a_reader_has_the_kinds_when_the_command_is_answered
            }
            access {
                users_tokens_sessions_and_links_survive_a_restart
                what_was_revoked_stays_revoked_after_a_crash
                a_reader_has_the_table_when_the_command_is_answered
                a_refused_command_changes_no_table
                one_of_many_with_the_same_name_is_added
                a_use_is_remembered_and_is_no_event
                a_store_has_one_signing_key_for_ever
                jobs_and_users_change_side_by_side
            }
            snapshot {
                a_snapshot_is_everything_in_its_order
                a_snapshot_sees_nothing_of_what_comes_after
                a_snapshot_of_nothing_has_a_head_and_an_end
            }
            history {
                counted_rows_survive_a_restart_and_are_no_events
                who_has_counted_more_replaces_the_rows
                old_rows_are_forgotten_step_by_step
                a_kind_and_a_queue_of_one_name_have_rows_of_their_own
                a_row_without_a_value_removes_the_one_of_its_key
            }
            life {
                a_closed_store_answers_nothing_but_closed
                closing_twice_is_closing
                a_follower_reads_to_the_end_when_the_store_closes
                many_callers_lose_nothing
            }
        }
    };
}

/// Generates the tests that `conformance_suite!` lists.
macro_rules! rules {
    ($harness:ty: $($topic:ident { $($rule:ident)* })*) => {
        $(
            mod $topic {
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $rule() {
                        let clock = $crate::store::conformance::clock();
                        let harness =
                            <$harness as $crate::store::conformance::Harness>::new(clock);
                        let rule = $crate::store::conformance::$topic::$rule(harness);
                        let bound = std::time::Duration::from_secs(120);
                        assert!(tokio::time::timeout(bound, rule).await.is_ok(), "the rule does not finish in time");
                    }
                )*
            }
        )*
    };
}

pub(crate) use {conformance_suite, rules};
