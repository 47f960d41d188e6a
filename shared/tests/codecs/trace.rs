//! `traceparent`, against the W3C recommendation.

use proptest::prelude::*;
use shared::trace::{TraceParent, TraceParentError};

const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn the_example_of_the_specification_is_read() {
    let parent: TraceParent = EXAMPLE.parse().unwrap();
    assert_eq!(parent.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    assert_eq!(parent.parent_id, 0x00f0_67aa_0ba9_02b7);
    assert_eq!(parent.flags, 1);
    assert_eq!(parent.to_text().as_str(), EXAMPLE);
}

#[test]
fn later_versions_may_say_more_and_this_one_may_not() {
    let later = EXAMPLE.replacen("00", "cc", 1);
    for good in [
        later.clone(),
        format!("{later}-what-the-future-brings"),
        format!("{later}-é"),
    ] {
        assert_eq!(
            good.parse::<TraceParent>().unwrap().to_string(),
            EXAMPLE,
            "{good}"
        );
    }
    let longer = format!("{EXAMPLE}-more");
    let glued = format!("{later}.");
    let invalid_version = EXAMPLE.replacen("00", "ff", 1);
    let upper = EXAMPLE.to_uppercase();
    let signed = EXAMPLE.replacen("-00f067", "-+0f067", 1);
    let no_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    let no_parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
    let not_ascii = EXAMPLE.replacen("4bf", "4é", 1);
    for bad in [
        "",
        "00",
        longer.as_str(),
        &glued,
        &invalid_version,
        &upper,
        &signed,
        &no_trace,
        &no_parent,
        &not_ascii,
        &EXAMPLE[1..],
        &EXAMPLE.replace('-', "_"),
    ] {
        assert_eq!(bad.parse::<TraceParent>(), Err(TraceParentError), "{bad:?}");
    }
}

#[test]
fn a_child_stays_in_its_trace_and_passes_on_what_has_a_meaning() {
    let parent: TraceParent = EXAMPLE.replacen("-01", "-ff", 1).parse().unwrap();
    assert_eq!(parent.flags, 0xff);
    let child = parent.child(7);
    assert_eq!(
        (child.trace_id, child.parent_id, child.flags),
        (parent.trace_id, 7, 1)
    );
    assert_eq!(parent.child(0).parent_id, 1);
    let new = TraceParent::new(0, 0);
    assert_eq!((new.trace_id, new.parent_id, new.flags), (1, 1, 0));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(trace_id in 1..=u128::MAX, parent_id in 1..=u64::MAX, flags: u8) {
        let parent = TraceParent { trace_id, parent_id, flags };
        prop_assert_eq!(parent.to_string().parse(), Ok(parent));
    }

    #[test]
    fn any_text_is_a_traceparent_or_refused(text in "[0-9a-f]{2}-[0-9a-fA-F]{32}-[0-9a-f+]{16}-[0-9a-f]{2}(-x)?|\\PC{0,60}") {
        if let Ok(parent) = text.parse::<TraceParent>() {
            let written = parent.to_string();
            prop_assert_eq!(&written[2..], &text[2..55]);
        }
    }
}
