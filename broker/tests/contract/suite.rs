//! The list of all cases, as one macro that makes tests of them for a fixture.

/// Tests of one fixture: `contract_tests!(Fixture: module { case, … } …)`.
macro_rules! contract_tests {
    ($fixture:ty: $($module:ident { $($case:ident),* $(,)? })*) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::$module::$case::<$fixture>().await;
            })*
        })*
    };
}

/// The whole suite for one fixture.
macro_rules! contract_suite {
    ($fixture:ty) => {
        contract_tests! { $fixture:
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
                caught_up_is_told_once,
                until_ends_it,
                until_in_the_past_ends_at_once,
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
        }

        mod model {
            #[test]
            fn any_history_reads_as_the_model_says() {
                $crate::model::any_history_reads_as_the_model_says::<$fixture>();
            }
        }
    };
}
