//! Maintenance beside the diagnosis, and never in its place.

use super::*;
use crate::cluster::maintenance::{Notice, Scope, Undone};

fn told(views: &[MemberView]) -> Vec<(WarningCode, String)> {
    let ours = [
        WarningCode::Maintenance,
        WarningCode::MaintenanceExpired,
        WarningCode::MaintenanceInconsistent,
        WarningCode::UnfinishedOperation,
    ];
    let found = diagnose(&cluster(3), views);
    found.warnings.into_iter().filter(|w| ours.contains(&w.code)).map(|w| (w.code, w.sentence)).collect()
}

#[test]
fn h1_h5_h19_maintenance_is_told_beside_the_true_code() {
    use WarningCode::*;
    let on = || maintained(Scope::Cluster, 1);
    let of_2 = || maintained(Scope::Member("mysql/2".into()), 1);
    let undone = |what: &str| vec![Undone { member: "mysql/2".into(), what: what.into() }];
    let forced = || Notice { undone: undone("it joins"), ..on() };
    let out = |n| pair(n).notices(&[forced()]);
    let everywhere = |n| three(n).notices(&[on()]);
    let late = |n: u32| everywhere(n).with(|o| o.maintenance.now = 8200);
    let torn = three(1).with(|o| o.maintenance.unreadable = Some("torn".into()));
    for (views, code, expected, why) in [
        (all([three(0), three(1), three(2)]), Healthy, vec![], "never set"),
        (
            all([0, 1, 2].map(everywhere)),
            Healthy,
            vec![(Maintenance, "of the whole cluster is on, by alice: a new switch")],
            "all is well",
        ),
        (
            all([0, 1, 2].map(|n| three(n).notices(&[of_2()]))),
            Healthy,
            vec![(Maintenance, "maintenance of mysql/2 is on")],
            "h2: one member",
        ),
        (
            all([0, 1, 2].map(|n| down(n, 9).maintained())),
            AllDownCrashed,
            vec![(Maintenance, "is on")],
            "the true code stays",
        ),
        (
            all([0, 1, 2].map(late)),
            Healthy,
            vec![(Maintenance, "is on"), (MaintenanceExpired, "should be over (it is 1970-01-01T02:16:40Z)")],
            "its time is over",
        ),
        (
            all([everywhere(0), everywhere(1), three(2)]),
            Healthy,
            vec![
                (Maintenance, "is on"),
                (MaintenanceInconsistent, "(2 of 3 members seen say so), and mysql/2 still says off"),
            ],
            "one was away when it was switched on",
        ),
        (
            all([everywhere(0), three(1).notices(&[maintenance_over(Scope::Cluster, 2)]), three(2)]),
            Healthy,
            vec![(
                MaintenanceInconsistent,
                "is off by the newest notice (2 of 3 members seen say so), and mysql/0 still says on",
            )],
            "one was away when it was switched off",
        ),
        (
            all([three(0), torn, three(2)]),
            Healthy,
            vec![(
                MaintenanceInconsistent,
                "what mysql/1 knows of maintenance cannot be read, which counts as on: torn",
            )],
            "fails closed",
        ),
        (
            vec![seen(out(0)), seen(out(1)), seen(down(2, 9))],
            Degraded,
            vec![
                (Maintenance, "is on"),
                (MaintenanceInconsistent, "mysql/2 still says off"),
                (UnfinishedOperation, "mysql/2: not well since maintenance began, when it was so: it joins"),
            ],
            "m6: forced on in the middle, and the member is not well",
        ),
        (
            all([0, 1, 2].map(|n| three(n).notices(&[forced()]))),
            Healthy,
            vec![(Maintenance, "is on")],
            "it is well again",
        ),
        (
            vec![seen(out(0)), seen(out(1)), seen(down(2, 9).notices(&[forced()]).held())],
            RecoveryInProgress,
            vec![(Maintenance, "is on"), (UnfinishedOperation, "mysql/2: held by bootstrap errand on mysql/0")],
            "what it is at now",
        ),
    ] {
        assert_eq!(code, diagnose(&cluster(3), &views).code, "{why}");
        let found = told(&views);
        let fits = |((a, sentence), (b, words)): (&(WarningCode, String), &(WarningCode, &str))| {
            a == b && sentence.contains(words)
        };
        assert!(found.len() == expected.len() && found.iter().zip(&expected).all(fits), "{why}: {found:?}");
    }
}

#[test]
fn h1_in_maintenance_the_advice_says_that_nothing_happens_by_itself() {
    let known = |n| down(n, 9).remembers(remembering(&[(1, 0)]));
    let without = diagnose(&cluster(3), &all([0, 1, 2].map(known)));
    let with = diagnose(&cluster(3), &all([0, 1, 2].map(|n| known(n).maintained())));
    assert!(
        with.advice.by_itself == "nothing is begun" && with.advice.run.contains(&without.advice.run),
        "{}",
        with.advice
    );
}

#[test]
fn h1_in_maintenance_the_advice_names_commands_that_work_there() {
    let on = |scope: Scope| maintained(scope, 1);
    let member = || Scope::Member("mysql/2".into());
    let beside = |scope: Scope| {
        let running = |n| pair(n).notices(&[on(scope.clone())]);
        vec![seen(running(0)), seen(running(1)), seen(down(2, 9).notices(&[on(scope.clone())]))]
    };
    let unreadable = |n| pair(n).with(|o| o.maintenance.unreadable = Some("torn".into()));
    let run = |what: &str| format!("`/var/vcap/jobs/maintenance/bin/run {what}`");
    let begin = "`/var/vcap/jobs/bootstrap/bin/run --node INSTANCE --during-maintenance`".to_owned();
    for (views, named, why) in [
        (
            beside(Scope::Cluster),
            vec![run("off"), run("start --member mysql/2")],
            "beside a primary component it is let start",
        ),
        (beside(member()), vec![run("off --member mysql/2"), run("start --member mysql/2")], "of one member"),
        (
            vec![seen(unreadable(0)), seen(pair(1)), seen(down(2, 9))],
            vec![run("off"), run("start --member mysql/2")],
            "unreadable",
        ),
        (all([0, 1, 2].map(|n| down(n, 9).maintained())), vec![run("off"), begin], "nobody is primary"),
    ] {
        let told = diagnose(&cluster(3), &views).advice.run;
        let ours = told.split(". Otherwise").next().unwrap();
        let commands: Vec<String> = ours.split('`').skip(1).step_by(2).map(|c| format!("`{c}`")).collect();
        assert_eq!(commands, named, "{why}: {told}");
    }
}
