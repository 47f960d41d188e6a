//! The tables of `docs/configuration.md`: option, default and meaning, as the code has them.
//!
//! The page is written by hand but for what stands between `<!-- options: SECTION -->` and `<!-- end -->`.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde_json::{Map, Value};

use super::{Config, RouteSettings};

/// Set to anything, it lets the test write the tables instead of comparing them.
const UPDATE: &str = "WEIR_UPDATE_DOCS";
const BEGIN: &str = "<!-- options: ";
const END: &str = "<!-- end -->";

#[test]
fn the_tables_of_the_reference_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (made, mut sections) = made_anew(&page);
    sections.sort();
    let mut known = sections_of_the_code();
    known.sort();
    assert_eq!(
        sections,
        known,
        "each section has one table in {}",
        path.display()
    );
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, made).unwrap();
        return;
    }
    let differs = page
        .lines()
        .zip(made.lines())
        .find(|(written, made)| written != made);
    assert!(
        page == made,
        "the tables are not those of the code any more: {differs:?}\n\
         write them anew with: {UPDATE}=1 cargo test -p edge --lib reference"
    );
}

/// The page with its tables as they should be, and the sections that it has tables of.
fn made_anew(page: &str) -> (String, Vec<String>) {
    let (mut made, mut sections) = (String::new(), Vec::new());
    let mut rest = page;
    while let Some((before, from)) = rest.split_once(BEGIN) {
        let (section, from) = from.split_once(" -->\n").expect("a mark ends on its line");
        let (_, after) = from.split_once(END).expect("every table has an end");
        made.push_str(&format!("{before}{BEGIN}{section} -->\n{}{END}", table(section)));
        sections.push(section.to_owned());
        rest = after;
    }
    made.push_str(rest);
    (made, sections)
}

/// Options that are no section belong to `general`, together with those of small sections.
const GENERAL: [&str; 3] = ["listen", "drain", "log"];
const ROUTE: &str = "a route";

fn sections_of_the_code() -> Vec<String> {
    let of_config = properties(&schemars::schema_for!(Config).to_value());
    let mut sections: Vec<String> = of_config
        .keys()
        .filter(|name| !GENERAL.contains(&name.as_str()))
        .cloned()
        .collect();
    sections.extend(["general".to_owned(), ROUTE.to_owned()]);
    sections
}

fn table(section: &str) -> String {
    let mut table = String::new();
    if section == ROUTE {
        table.push_str("| option of a route | meaning |\n|---|---|\n");
        for (option, schema) in properties(&schemars::schema_for!(RouteSettings).to_value()) {
            table.push_str(&format!("| {option} | {} |\n", meaning(&option, &schema)));
        }
        return table;
    }
    table.push_str("| option | default | meaning |\n|---|---|---|\n");
    let schema = schemars::schema_for!(Config).to_value();
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    let names: &[&str] = if section == "general" {
        &GENERAL
    } else {
        &[section]
    };
    for name in names {
        let of_config = properties(&schema);
        let value = defaults.get(*name).unwrap();
        match value.as_table() {
            None => row(&mut table, name, &of_config[*name], Some(value)),
            Some(values) => {
                for (option, schema) in properties(resolve(&schema, &of_config[*name])) {
                    row(
                        &mut table,
                        &format!("{name}.{option}"),
                        &schema,
                        values.get(&option),
                    );
                }
            }
        }
    }
    table
}

fn row(table: &mut String, option: &str, schema: &Value, default: Option<&toml::Value>) {
    let default = default.map(|value| format!("`{value}`")).unwrap_or_default();
    table.push_str(&format!(
        "| `{option}` | {default} | {} |\n",
        meaning(option, schema)
    ));
}

/// The comment of a field, on one line.
fn meaning(option: &str, schema: &Value) -> String {
    let text = schema["description"].as_str();
    let text = text.unwrap_or_else(|| panic!("{option} has no comment"));
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

fn properties(schema: &Value) -> Map<String, Value> {
    schema["properties"].as_object().unwrap().clone()
}

/// What a `$ref` of the field stands for.
fn resolve<'a>(whole: &'a Value, field: &'a Value) -> &'a Value {
    let path = field["$ref"].as_str().unwrap();
    whole.pointer(path.strip_prefix('#').unwrap()).unwrap()
}
