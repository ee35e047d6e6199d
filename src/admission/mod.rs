//! Who is asking, and may they.
//!
//! Two questions, two answers that the rest of the house takes as proof: [`Caller`] says who it is,
//! [`Admitted`] says that this caller may ask for this operation. Neither can be made outside this
//! room, so a request that skipped a question does not compile.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use crate::protocol::operation::Operation;

/// Who is asking. Clients are not authenticated yet: all that is known is where they are.
#[derive(Clone, Debug)]
pub struct Caller {
    address: SocketAddr,
}

impl Caller {
    /// Address and port of the other end of the connection.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A caller together with the operation it may perform, which is shared, or lent by a cache.
#[derive(Debug)]
pub struct Admitted<O = Arc<Operation>> {
    caller: Caller,
    operation: O,
}

impl<O: Deref<Target = Operation>> Admitted<O> {
    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What it asks for.
    pub fn operation(&self) -> &O {
        &self.operation
    }
}

/// Why a caller is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It did not say who it is: 401.
    #[error("Unauthorized")]
    Unauthenticated,
    /// It may not do this: 403/40301.
    #[error("User is denied operation on this server.")]
    Forbidden,
}

/// The rules of who may do what. There are none yet: everyone may do everything.
#[derive(Clone, Debug, Default)]
pub struct Admission;

impl Admission {
    /// Finds out who asks, from what it says of that in `Authorization`.
    pub fn authenticate(&self, _authorization: Option<&[u8]>, address: SocketAddr) -> Result<Caller, Rejection> {
        Ok(Caller { address })
    }

    /// Decides whether it may.
    pub fn authorize<O: Deref<Target = Operation>>(
        &self,
        caller: Caller,
        operation: O,
    ) -> Result<Admitted<O>, Rejection> {
        Ok(Admitted { caller, operation })
    }
}
