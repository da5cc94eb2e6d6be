//! Many units at one parent: the roster names them all, whoever joined first.

use tests::{Node, wait_for};

#[test]
fn units_that_join_one_parent_at_once_and_out_of_order_are_all_on_the_roster() {
    let dir = tempfile::tempdir().unwrap();
    let mut city = Node::init(dir.path(), "city");
    city.start();
    let names = ["s3", "s1", "s4", "s2"];
    let mut schools: Vec<Node> = std::thread::scope(|scope| {
        let joins: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(|| city.enrol(dir.path(), name, name, "school")))
            .collect();
        joins.into_iter().map(|join| join.join().unwrap()).collect()
    });
    for school in &mut schools {
        school.start();
    }
    wait_for("all schools on the roster and in step", || {
        let status = city.status();
        let children = status["children"].as_array().cloned().unwrap_or_default();
        let in_step = children
            .iter()
            .filter(|child| child["nodes"][0]["state"] == "in step")
            .count();
        if children.len() == names.len() && in_step == names.len() {
            Ok(())
        } else {
            Err(status["children"].to_string())
        }
    });
}
