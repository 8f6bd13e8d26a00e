//! Finds import cycles.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use crate::import_graph::ImportGraph;

/// Returns cycles that share no import, each as its files in the order in which they import each
/// other. Every cycle of the graph shares an import with one of them.
pub(crate) fn cycles(graph: &ImportGraph) -> Vec<Vec<String>> {
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = graph
        .iter()
        .map(|(from, to)| (from.as_str(), to.keys().map(String::as_str).collect()))
        .collect();
    let mut cycles = Vec::new();
    while let Some(cycle) = shortest_cycle(&graph) {
        let next = cycle.iter().cycle().skip(1);
        for (from, to) in cycle.iter().zip(next) {
            if let Some(targets) = graph.get_mut(from) {
                targets.remove(to);
            }
        }
        cycles.push(cycle.into_iter().map(str::to_owned).collect());
    }
    cycles
}

fn shortest_cycle<'a>(graph: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    let through_each = graph.keys().filter_map(|file| way_back(graph, file));
    through_each.min_by_key(Vec::len)
}

/// Returns the shortest path from a file back to itself.
fn way_back<'a>(
    graph: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    start: &'a str,
) -> Option<Vec<&'a str>> {
    let mut reached_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for &next in graph.get(file).into_iter().flatten() {
            if next == start {
                let mut way = vec![file];
                while let Some(&before) = way.last().and_then(|file| reached_from.get(file)) {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if !reached_from.contains_key(next) {
                reached_from.insert(next, file);
                queue.push_back(next);
            }
        }
    }
    None
}

/// Describes a cycle with the place of each import.
pub(crate) fn describe(graph: &ImportGraph, cycle: &[String]) -> String {
    let mut text = format!("import cycle of {} files:", cycle.len());
    let next = cycle.iter().cycle().skip(1);
    for (from, to) in cycle.iter().zip(next) {
        let site = graph.get(from).and_then(|targets| targets.get(to));
        if let Some(site) = site {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n    {from}:{} imports {to} ({})",
                site.line, site.path
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_graph::ImportSite;

    fn graph(edges: &[(&str, &str)]) -> ImportGraph {
        let mut graph = ImportGraph::new();
        for (line, (from, to)) in edges.iter().enumerate() {
            let site = ImportSite {
                line,
                path: format!("crate::{to}"),
            };
            let targets = graph.entry((*from).to_owned()).or_default();
            targets.insert((*to).to_owned(), site);
        }
        graph
    }

    #[test]
    fn a_graph_that_only_points_down_has_none() {
        assert!(cycles(&graph(&[("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")])).is_empty());
    }

    #[test]
    fn the_shortest_are_found_first_and_share_no_import() {
        let found = cycles(&graph(&[
            ("a", "b"),
            ("b", "c"),
            ("c", "a"),
            ("c", "d"),
            ("d", "c"),
            ("e", "a"),
        ]));
        assert_eq!(found, [vec!["c", "d"], vec!["a", "b", "c"]]);
    }

    #[test]
    fn a_cycle_is_described_by_its_imports() {
        let graph = graph(&[("a", "b"), ("b", "a")]);
        let text = describe(&graph, &cycles(&graph)[0]);
        assert_eq!(
            text,
            "import cycle of 2 files:\n    a:0 imports b (crate::b)\n    b:1 imports a (crate::a)"
        );
    }
}
