//! The list of all cases, as one macro that makes tests of them for a fixture.

/// Tests of one fixture, each with an attribute: `contract_tests!(Fixture, attribute: module { case, … } …)`.
macro_rules! contract_tests {
    ($fixture:ty, $attribute:meta: $($module:ident { $($case:ident),* $(,)? })*) => {
        $(mod $module {
            $(#[$attribute]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::$module::$case::<$fixture>().await;
            })*
        })*
    };
}

/// The whole suite for one fixture; with an attribute, where each test is to have one.
macro_rules! contract_suite {
    ($fixture:ty) => {
        contract_suite!($fixture, allow(clippy::unwrap_used));
    };
    ($fixture:ty, $attribute:meta) => {
        contract_tests! { $fixture, $attribute:
            append {
                answers_with_positions_in_order,
                a_large_batch_keeps_its_order,
                submits_in_a_row_keep_their_order,
                many_publishers_at_once,
                every_part_of_an_event_comes_back,
                a_key_appends_once,
                a_key_counts_within_and_across_batches,
                one_key_from_many_publishers,
                a_key_is_forgotten_after_its_window,
                too_large_is_refused_alone,
            }
            retention {
                by_length,
                by_age,
                idle_streams_expire,
                first_rule_that_matches_counts,
            }
            read {
                absent_streams_read_as_empty,
                from_each_place,
                since_a_time,
                page_by_page,
                backward,
                backward_tells_what_is_gone,
                until_is_inclusive,
                limits_are_clamped,
                large_entries_come_on_smaller_pages,
            }
            verdict {
                every_position_is_continuous,
                trimmed_past_the_cursor,
                trimmed_from_the_start,
                trimmed_to_nothing,
                trimmed_between_pages,
                deleted_inside,
                deleted_behind_the_reader,
                last_one_deleted,
                deleted_stream,
                re_created,
                re_created_and_longer,
                rolled_back,
                rolled_back_and_gone_on,
                bare_ids,
            }
            raw {
                any_fields_are_an_event,
                ids_of_others,
                raw_and_own_entries_count_together,
                raw_entries_are_delivered_live,
            }
            subscribe {
                from_each_place,
                a_beginning_can_be_resumed,
                caught_up_is_told_once,
                until_ends_it,
                until_in_the_past_ends_at_once,
                until_comes_by_the_clock,
                merged_by_time,
                each_stream_on_its_own,
                too_many_streams,
                again_starts_anew,
                unsubscribed_is_silent,
                gap_at_the_start_is_told_first,
                bare_id_is_unverified_once,
            }
            filter {
                by_event,
                by_pattern,
                held_back_events_move_the_cursor,
            }
            join {
                history_to_live_under_load,
                resume_at_any_event,
                slow_reader_falls_off_the_ring,
                many_subscribers_many_streams,
                dropping_next_at_any_poll,
            }
            live {
                trimmed_past_a_slow_reader,
                deleted_inside_what_was_not_read,
                deleted_and_re_created,
                rolled_back_while_live,
                rolled_back_and_gone_on_while_live,
                unfollowed_after_its_linger,
            }
            sessions {
                a_take_over_brings_what_was_saved_last,
                who_was_taken_over_changes_nothing_any_more,
                what_is_not_there_is_told,
                a_record_expires_unless_it_is_used,
                a_record_that_is_gone_is_saved_anew_and_the_last_one_wins,
                records_are_bounded,
                of_many_who_take_over_at_once_one_is_last,
                ten_thousand_at_once,
            }
            edges {
                an_edge_is_found_while_it_is_announced,
                the_first_secret_is_the_one_that_all_share,
            }
            ephemeral {
                reach_who_asks_for_them_and_leave_no_trace,
                every_part_comes_through,
                what_came_while_the_reader_could_not_take_it_is_skipped,
                who_comes_later_gets_none_of_before,
                filters_hold_them_back,
                they_do_not_wait_for_history,
                a_flood_is_thinned_out_and_the_log_comes_through,
                too_large_is_refused,
                who_does_not_ask_is_not_woken,
            }
        }

        mod model {
            #[$attribute]
            #[test]
            fn any_history_reads_as_the_model_says() {
                $crate::model::any_history_reads_as_the_model_says::<$fixture>();
            }
        }
    };
}
