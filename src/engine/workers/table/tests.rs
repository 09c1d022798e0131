//! The table: who is connected, what each worker holds, and what the events tell.

use tokio::time::Instant;

use super::*;
use crate::engine::workers::hello::{WorkerAbout, WorkerCaller, WorkerTransport};
use crate::job::QueueName;

fn hello(pid: u32) -> WorkerHello {
    let kinds = Arc::new(BTreeSet::from([Kind::parse("resize").unwrap()]));
    let interest = Interest { queues: [QueueName::default()].into(), kinds };
    WorkerHello {
        interest: Arc::new(interest),
        lease: Duration::from_secs(30),
        about: Some(WorkerAbout { pid: Some(pid), ..WorkerAbout::default() }),
        transport: WorkerTransport::Http,
        caller: WorkerCaller::default(),
    }
}

#[test]
fn the_events_tell_at_most_once_a_second_that_a_worker_has_connected() {
    let (mut table, name) = (WorkerTable::default(), WorkerName::parse("web-1").unwrap());
    let begin = Instant::now();
    let at = |ms: u64| Moments {
        at: Time::from_millis(ms as i64),
        now: begin + Duration::from_millis(ms),
    };
    for ms in 0..100 {
        table.hello(&name, hello(ms as u32), 10, at(ms)).unwrap();
        if ms % 10 == 9 {
            table.sign_off(&name, at(ms).at, None);
        }
    }
    let changes = |table: &mut WorkerTable| -> Vec<WorkerChange> {
        table.take_news().into_iter().map(|notice| notice.change).collect()
    };
    let left = WorkerChange::Left { why: WorkerLeft::SignedOff };
    assert_eq!(changes(&mut table), [WorkerChange::Connected, left]);
    table.hello(&name, hello(1), 10, at(500)).unwrap();
    table.sweep(at(999));
    assert_eq!(changes(&mut table), []);
    table.sweep(at(1_000));
    assert_eq!(changes(&mut table), [WorkerChange::Connected], "it is made up for");
    table.sweep(at(2_000));
    assert_eq!(changes(&mut table), []);
}
