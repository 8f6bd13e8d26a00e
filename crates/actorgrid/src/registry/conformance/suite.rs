//! A macro that lists all conformance rules and turns each into a test.

/// Defines one test for each rule, as in
/// `conformance_suite!(Fixture, tokio::test(start_paused = true));`.
macro_rules! conformance_suite {
    ($fixture:ty, $test:meta) => {
        $crate::registry::conformance::conformance_suite! { $fixture, $test;
            a_lease_is_granted_renewed_and_revoked
            a_renewed_lease_keeps_its_keys
            a_lease_that_runs_out_takes_its_keys
            a_revoked_lease_takes_its_keys_and_no_others
            nothing_is_put_under_a_lease_that_is_gone
            a_claim_puts_its_keys_together
            a_refused_claim_puts_nothing_and_returns_what_is_there
            a_claim_is_won_while_the_epoch_is_unchanged
            a_claim_is_refused_when_the_epoch_was_raised
            a_claim_is_refused_when_the_epoch_is_gone
            a_claim_is_refused_when_the_epoch_is_of_another_session
            claims_of_a_batch_are_decided_apart
            a_batch_with_a_key_twice_puts_nothing
            tokens_grow_from_holder_to_holder
            a_raise_moves_the_modification_and_not_the_creation
            a_raise_is_refused_for_another_creation
            a_release_compares_the_creation
            a_get_answers_in_the_order_of_its_keys
            a_list_is_sorted_and_keeps_to_its_prefix
            a_read_returns_one_key_and_a_watch_continues_from_it
            a_watch_from_the_past_gives_every_revision_whole_and_in_order
            a_watch_reports_later_changes
            a_watch_selects_a_key_or_a_prefix
            a_watch_from_a_compacted_revision_fails
            a_watch_from_a_revision_not_reached_yet_fails
            a_watch_survives_quiet_time
        }
    };
    ($fixture:ty, $test:meta; $($rule:ident)*) => {
        $(
            #[$test]
            async fn $rule() {
                let fixture = <$fixture as $crate::registry::conformance::Fixture>::start().await;
                $crate::registry::conformance::$rule(&fixture).await;
            }
        )*
    };
}
pub(crate) use conformance_suite;
