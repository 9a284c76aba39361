//! One kernel table and the plan that it follows.

use super::encode::{GET_TABLE, header, kind, transaction};
use super::model::Fragment;
use super::plan::{Operation, Plan};
use crate::netlink::{Error, Protocol, Socket, attribute};

/// See the parent module. Works in the network namespace that it was made in.
#[derive(Debug)]
pub struct Table {
    name: String,
    socket: Socket,
    plan: Plan,
    /// Emptied chains that the kernel would not let go yet.
    stale: Vec<Operation>,
    refusals: usize,
}

impl Table {
    /// Opens a socket; the kernel's table is touched by the first [`Table::replace`].
    pub fn new(name: &str) -> Result<Table, Error> {
        Ok(Table {
            name: name.to_owned(),
            socket: Socket::open(Protocol::Netfilter)?,
            plan: Plan::default(),
            stale: Vec::new(),
            refusals: 0,
        })
    }

    /// Puts a whole new table in the place of whatever has its name. No packet sees a table in between.
    pub fn replace(&mut self, fragments: Vec<(String, Fragment)>) -> Result<(), Error> {
        self.plan = Plan::new(fragments);
        self.rebuild()
    }

    /// Changes the fragments of some owners (`None`: the owner is gone) in one transaction. If the kernel refuses it,
    /// because somebody else changed the table, the table is built anew.
    pub fn update(&mut self, changes: Vec<(String, Option<Fragment>)>) -> Result<(), Error> {
        let steps = self.plan.change(changes);
        if steps.is_empty() {
            return Ok(());
        }
        // Kernels before 6.2 hold a chain for a moment after the map element that led to it is gone (EBUSY), so
        // chains, which are empty and unreachable by then, go in a second transaction that may fail.
        let (chains, steps): (Vec<_>, Vec<_>) =
            steps.into_iter().partition(|step| matches!(step, Operation::RemoveChain(_)));
        self.stale.retain(|stale| {
            let Operation::RemoveChain(name) = stale else { return false };
            !steps.iter().any(|step| matches!(step, Operation::AddChain(added, _) if added == name))
        });
        if let Err(error) = self.commit(&steps) {
            self.refusals += 1;
            tracing::warn!(table = self.name, error = %base::chain(&error), "a change failed, the table is rebuilt");
            return self.rebuild();
        }
        self.stale.extend(chains);
        if !self.stale.is_empty() && self.commit(&self.stale.clone()).is_ok() {
            self.stale.clear();
        }
        Ok(())
    }

    /// How often the kernel refused a change, so that the table was built anew.
    pub fn refusals(&self) -> usize {
        self.refusals
    }

    /// What an owner brought last.
    pub fn fragment(&self, owner: &str) -> Option<&Fragment> {
        self.plan.fragment(owner)
    }

    /// Removes the table; fine if there is none.
    pub fn remove(&mut self) -> Result<(), Error> {
        self.plan = Plan::default();
        // Adding first makes the removal succeed in any case; older kernels have no "destroy".
        self.commit(&[Operation::AddTable, Operation::RemoveTable])
    }

    fn rebuild(&mut self) -> Result<(), Error> {
        let mut steps = vec![Operation::AddTable, Operation::RemoveTable, Operation::AddTable];
        steps.extend(self.plan.build());
        self.stale.clear();
        self.commit(&steps)
    }

    fn commit(&mut self, steps: &[Operation]) -> Result<(), Error> {
        let name = &self.name;
        self.socket.batch(|| format!("change table {name}"), |writer| transaction(writer, name, steps))
    }
}

/// The names of all tables of family `ip` in this network namespace.
pub fn tables() -> Result<Vec<String>, Error> {
    let mut socket = Socket::open(Protocol::Netfilter)?;
    let replies = socket.query(
        || "list tables".to_owned(),
        kind(GET_TABLE),
        libc::NLM_F_DUMP,
        |message| header(message, libc::AF_INET as u8, 0),
    )?;
    let name = |payload: &[u8]| {
        let text = attribute(payload.get(4..)?, 1)?;
        Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
    };
    Ok(replies.iter().filter_map(|reply| name(&reply.payload)).collect())
}
