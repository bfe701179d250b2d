use proptest::prelude::*;

use super::super::tests::worlds::cluster;
use super::super::{Outcome, Question};
use super::*;

fn labelled(labels: &[(&str, &str)]) -> Pod {
    Pod {
        namespace: "a".to_owned(),
        kind: crate::netpol::pod::PodKind::Pod,
        name: "web-0".to_owned(),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ports: Vec::new(),
        host_network: false,
        addresses: Vec::new(),
        controller: None,
    }
}

#[test]
fn the_labels_of_controllers_stay_out_unless_there_are_no_others() {
    let pod =
        labelled(&[("app", "web"), ("controller-revision-hash", "x"), ("statefulset.kubernetes.io/pod-name", "web-0")]);
    assert_eq!(lasting_labels(&pod).into_keys().collect::<Vec<_>>(), ["app"]);
    let of_job = labelled(&[("job-name", "x")]);
    assert_eq!(lasting_labels(&of_job), of_job.labels);
    let odd = labelled(&[("app", "web"), ("odd", "no value"), ("no key", "x"), ("job-name", "x")]);
    assert_eq!(lasting_labels(&odd).into_keys().collect::<Vec<_>>(), ["app"]);
}

#[test]
fn a_name_is_one_that_kubernetes_takes() {
    let pod = labelled(&[]);
    let ports = PortSet::single(Protocol::Udp, 53);
    let address = End::Address("2001:db8::".parse().expect("an address"));
    assert_eq!(name(&pod, Direction::Egress, address, &ports), "allow-web-0-to-2001-db8-udp-53-egress");
    let other = Pod { namespace: "b".to_owned(), name: "Ä.b".to_owned(), ..labelled(&[]) };
    assert_eq!(name(&pod, Direction::Ingress, End::Pod(&other), &PortSet::all()), "allow-b---b-to-web-0-ingress");
}

proptest! {
    #[test]
    fn the_policies_proposed_let_the_connection_pass_and_stop_no_other(
        cluster in cluster(),
        protocol in proptest::sample::select(&Protocol::ALL[..]),
        port in 1u16..5,
    ) {
        let world = cluster.world(&[]);
        for from in cluster.ends() {
            for to in cluster.ends() {
                let answer = world.ask(Question { from, to, protocol, port });
                if answer.outcome != Outcome::Denied {
                    continue;
                }
                let ports = PortSet::single(protocol, port);
                let egress = world.repair((from, &answer.egress), Direction::Egress, to, &ports);
                let ingress = world.repair((to, &answer.ingress), Direction::Ingress, from, &ports);
                let more: Vec<NetworkPolicy> = egress.into_iter().chain(ingress).collect();
                prop_assert!(more.iter().all(|policy| cluster.policies.iter().all(|other| other.name != policy.name)));
                let mended = cluster.world(&more);
                let outcome = mended.ask(Question { from, to, protocol, port }).outcome;
                // What is denied is denied whatever an unread policy says; beside one, allowed is allowed by a rule.
                let unread = matches!(outcome, Outcome::Unread { .. });
                prop_assert!(unread || outcome == Outcome::Allowed, "{from} to {to}: {outcome:?} with {more:?}");
                for from in cluster.ends() {
                    for to in cluster.ends() {
                        let ask = |world: &World<'_>| world.ask(Question { from, to, protocol, port }).outcome == Outcome::Allowed;
                        prop_assert!(!ask(&world) || ask(&mended), "{from} to {to} is stopped by {more:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_name_that_is_taken_is_not_taken_again(cluster in cluster()) {
        let world = cluster.world(&[]);
        for policy in &cluster.policies {
            let free = world.free_name(&policy.namespace, &policy.name);
            prop_assert!(cluster.policies.iter().all(|other| other.namespace != policy.namespace || other.name != free));
        }
    }
}
