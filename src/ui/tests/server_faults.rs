//! What is said when the server cannot carry out a request with which nothing is wrong.

use crate::access::{NoRandomness, PasswordProblem};
use crate::engine::{AccessError, StoreError, TooBusy, WorkerError};
use crate::http::Problem;
use crate::http::access::sessions::SessionError;
use crate::http::server_fault::ServerFault;
use crate::ui::layout::error::UiError;

/// The API and the pages have the same status for a cause, and every path by which it arrives has the same code.
#[test]
fn each_cause_has_one_status_and_one_code_at_every_interface() {
    let store = |error: StoreError| -> [Problem; 3] {
        [
            error.clone().into(),
            WorkerError::Store(error.clone()).into(),
            AccessError::Store(error).into(),
        ]
    };
    let broken = || StoreError::Unavailable("the disk is full".into());
    let no_randomness: [Problem; 2] =
        [NoRandomness.into(), PasswordProblem::NoRandomness(NoRandomness).into()];
    let stopping: [Problem; 2] = [WorkerError::Stopping.into(), PasswordProblem::Stopping.into()];
    let cases = [
        (ServerFault::Stopping, stopping.to_vec()),
        (ServerFault::Stopping, store(StoreError::Closed).to_vec()),
        (ServerFault::StoreUnavailable, store(broken()).to_vec()),
        (ServerFault::StoreUnreadable, store(StoreError::Corrupt("x".into())).to_vec()),
        (ServerFault::NoRandomness, no_randomness.to_vec()),
        (ServerFault::Busy, vec![TooBusy.into()]),
        (ServerFault::TooManyWorkers, vec![WorkerError::TooMany { limit: 1 }.into()]),
        (ServerFault::Internal, vec![PasswordProblem::NotHashed("x".into()).into()]),
    ];
    for (fault, problems) in cases {
        for problem in problems {
            let shown = (problem.status(), problem.code());
            assert_eq!(shown, (fault.status(), fault.code()), "{fault:?}: {problem:?}");
        }
    }
    let pages: [(ServerFault, UiError); 8] = [
        (ServerFault::Stopping, StoreError::Closed.into()),
        (ServerFault::Stopping, WorkerError::Stopping.into()),
        (ServerFault::StoreUnavailable, broken().into()),
        (ServerFault::StoreUnreadable, StoreError::Corrupt("x".into()).into()),
        (ServerFault::NoRandomness, NoRandomness.into()),
        (ServerFault::NoRandomness, SessionError::from(NoRandomness).into()),
        (ServerFault::TooManyWorkers, WorkerError::TooMany { limit: 1 }.into()),
        (ServerFault::StoreUnavailable, SessionError::Access(broken().into()).into()),
    ];
    for (fault, page) in pages {
        let same = UiError::of_fault(fault, &page.message);
        assert_eq!((page.status, &page.title), (fault.status(), &same.title), "{fault:?}");
    }
}

#[test]
fn a_problem_of_the_server_is_explained_to_people_by_its_cause() {
    for fault in ServerFault::ALL {
        let page = UiError::of_fault(fault, "why");
        assert_eq!(page.status, fault.status());
        assert!(!page.title.is_empty() && page.advice.ends_with('.'), "{fault:?}");
        assert_eq!(ServerFault::of_code(fault.code()).map(ServerFault::code), Some(fault.code()));
    }
}
