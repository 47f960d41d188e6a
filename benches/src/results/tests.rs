//! Rendering: what stands in tables, plots and the README.

use roxmltree::Document;

use super::report::table;
use super::*;

fn circumstances() -> Circumstances {
    Circumstances {
        date: "2026-01-02T03:04Z".to_owned(),
        command: "cargo run --release -p benches -- all".to_owned(),
        commit: "abc".to_owned(),
        machine: Machine {
            cpu: "Some CPU".to_owned(),
            cores: 2,
            memory: 24 << 30,
            kernel: "6.1".to_owned(),
        },
        programs: vec!["redis-server 7.0.15".to_owned()],
    }
}

fn run(scenario: &str, outcomes: Vec<Outcome>) -> Run {
    Run {
        scenario: scenario.to_owned(),
        summary: "Something is measured.".to_owned(),
        circumstances: circumstances(),
        outcomes,
    }
}

/// Two servers at three rates, one of which a server did not reach.
fn lines() -> Run {
    let mut outcomes = Vec::new();
    for (server, version, factor) in [("Weir", "0.1.0", 1.0), ("Node & <sons>", "4.8.4", 3.0)] {
        for rate in [20.0, 100.0, 1_000.0] {
            let measured = if rate > 100.0 && factor > 1.0 {
                f64::NAN
            } else {
                5.0 * factor
            };
            outcomes.push(
                Outcome::new("fan-out", server, version, format!("{rate} events/s"))
                    .at("events per second", rate)
                    .plot("CPU per delivery", measured, Unit::Microseconds)
                    .value("delivered", rate * 1e3, Unit::Count),
            );
        }
    }
    outcomes[0].judgments = vec![
        Judgment::at_most("CPU beside the bare write", 1.5, 1.25),
        Judgment::at_least("highest rate beside Node's", 20.0, 10.0),
    ];
    run("fan-out", outcomes)
}

fn bars() -> Run {
    let outcome = |server: &str, bytes| {
        Outcome::new("idle", server, "1", "10,000 sockets")
            .plot("resident per socket", bytes, Unit::Bytes)
            .note("after three pings")
    };
    run(
        "idle",
        vec![
            outcome("Weir", 5_000.0).note("its own note"),
            outcome("Node", 20_000.0).value("before", 52_428_800.0, Unit::Mebibytes),
        ],
    )
}

#[test]
fn a_table_has_a_column_for_each_name_and_says_what_is_missing() {
    assert_eq!(
        table(&bars().outcomes),
        "| server | | resident per socket, B | before, MiB |\n\
         |---|---|--:|--:|\n\
         | Weir | 10,000 sockets | 5,000 |  |\n\
         | Node | 10,000 sockets | 20,000 | 50.0 |\n"
    );
    let table = table(&lines().outcomes);
    assert!(
        table.contains("| Node & <sons> | 1000 events/s | not measured | 1,000,000 |\n"),
        "{table}"
    );
}

#[test]
fn a_report_tells_targets_notes_and_circumstances() {
    let report = report(&[lines(), bars()]);
    for line in [
        "| [fan-out](#fan-out) | CPU beside the bare write | at most 1.25 | 1.5 | **missed** |",
        "| [fan-out](#fan-out) | highest rate beside Node's | at least 10 | 20 | met |",
        "* after three pings",
        "* Weir, 10,000 sockets: its own note",
        "![idle: resident per socket, B](idle-resident-per-socket.svg)",
        "`cargo run --release -p benches -- all` on 2026-01-02T03:04Z, commit abc. Some CPU, 2 cores, 24 GiB, Linux 6.1. \
         Weir 0.1.0; Node & <sons> 4.8.4; redis-server 7.0.15.",
    ] {
        assert!(report.lines().any(|found| found == line), "{line}\n{report}");
    }
}

/// Every plot is XML, and all that it shows lies within it.
fn checked(plot: &Plot) -> Document<'_> {
    let document = Document::parse(&plot.svg).unwrap();
    let root = document.root_element();
    let size: Vec<f64> = ["width", "height"]
        .iter()
        .map(|name| root.attribute(*name).unwrap().parse().unwrap())
        .collect();
    for node in root.descendants() {
        for (names, most) in [
            (["x", "x1", "x2", "cx"], size[0]),
            (["y", "y1", "y2", "cy"], size[1]),
        ] {
            for at in names.iter().filter_map(|name| node.attribute(*name)) {
                let at: f64 = at.parse().unwrap();
                assert!((0.0..=most).contains(&at), "{node:?}");
            }
        }
    }
    document
}

fn count(document: &Document<'_>, tag: &str) -> usize {
    document
        .descendants()
        .filter(|node| node.has_tag_name(tag))
        .count()
}

#[test]
fn lines_have_a_dot_for_each_measured_value() {
    let run = lines();
    let plots = Plot::all(&run);
    assert_eq!(plots.len(), 1, "only what is marked is plotted");
    assert_eq!(plots[0].file, "fan-out-cpu-per-delivery.svg");
    let document = checked(&plots[0]);
    assert_eq!((count(&document, "polyline"), count(&document, "circle")), (2, 5));
    let mut texts = document.descendants().filter_map(|node| node.text());
    assert!(texts.any(|text| text == "Node & <sons>"));
}

#[test]
fn bars_are_as_long_as_their_numbers() {
    let run = bars();
    let plots = Plot::all(&run);
    let document = checked(&plots[0]);
    let widths: Vec<f64> = document
        .descendants()
        .filter(|node| node.has_tag_name("rect"))
        .skip(1)
        .map(|node| node.attribute("width").unwrap().parse().unwrap())
        .collect();
    assert_eq!(widths, [100.0, 400.0]);
}

#[test]
fn nothing_measured_and_zero_are_drawn_too() {
    for outcomes in [
        vec![Outcome::new("s", "Weir", "", "").plot("x", f64::NAN, Unit::Count)],
        vec![Outcome::new("s", "Weir", "", "").plot("x", 0.0, Unit::Count)],
        vec![
            Outcome::new("s", "Weir", "", "")
                .at("a", 1.0)
                .plot("x", 0.0, Unit::Count),
        ],
        vec![
            Outcome::new("s", "Weir", "", "")
                .at("a", 1.0)
                .plot("x", 1.0, Unit::Count),
        ],
    ] {
        checked(&Plot::all(&run("s", outcomes))[0]);
    }
}

#[test]
fn what_is_published_replaces_what_was() {
    let folder = tempfile::tempdir().unwrap();
    let readme = folder.path().join("project.md");
    std::fs::write(&readme, format!("before\n{BEGIN}old\n{END}after\n")).unwrap();
    let results = folder.path().join("results");
    bars().save(&results).unwrap();
    lines().save(&results).unwrap();
    publish(&results, &readme).unwrap();
    let runs = Run::all(&results).unwrap();
    let scenarios: Vec<&str> = runs.iter().map(|run| run.scenario.as_str()).collect();
    assert_eq!(scenarios, ["fan-out", "idle"]);
    assert_eq!(runs[1], bars());
    let shown = std::fs::read_to_string(&readme).unwrap();
    assert_eq!(
        shown,
        format!("before\n{BEGIN}{}{END}after\n", summary(&runs, "benches/results"))
    );
    assert!(shown.contains("](benches/results/idle-resident-per-socket.svg)") && !shown.contains("old"));
    assert!(results.join("idle-resident-per-socket.svg").exists());

    let mut unplotted = bars();
    unplotted.outcomes.clear();
    unplotted.save(&results).unwrap();
    publish(&results, &readme).unwrap();
    assert!(!results.join("idle-resident-per-socket.svg").exists());
    assert!(results.join("fan-out-cpu-per-delivery.svg").exists());
}

#[test]
fn a_readme_without_a_place_for_results_is_left_alone() {
    assert_eq!(with_results("nothing", "results"), None);
}

/// Whoever changes how results look makes them anew: `cargo run -p benches -- report`.
#[test]
fn the_published_results_are_those_that_are_kept() {
    let runs = Run::all(&folder()).unwrap();
    let published = std::fs::read_to_string(folder().join("README.md")).unwrap();
    assert_eq!(published, report(&runs));
    for plot in runs.iter().flat_map(Plot::all) {
        assert_eq!(
            std::fs::read_to_string(folder().join(plot.file)).unwrap(),
            plot.svg
        );
    }
    let text = std::fs::read_to_string(readme()).unwrap();
    assert_eq!(
        with_results(&text, &summary(&runs, "benches/results")).unwrap(),
        text
    );
}
