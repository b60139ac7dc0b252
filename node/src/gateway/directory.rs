//! Units, professionals and rooms, opened, a page at a time.

use super::{DirectoryContent, Error, Gateway};
use plantao_domain::audit::{Module, Object};
use plantao_domain::rows::{self, UnitRow};
use plantao_domain::{Actor, PractitionerId, RoomId, UnitId};

/// What belongs to a unit: its id, the unit, its names.
type OfUnit<I> = (I, UnitId, DirectoryContent);

impl Gateway {
    /// Units after one of them, by id.
    ///
    /// # Errors
    /// The caller has no right, or this node cannot open names.
    pub async fn units(
        &self,
        actor: &Actor,
        after: Option<UnitId>,
        limit: usize,
    ) -> Result<Vec<(UnitId, UnitRow, DirectoryContent)>, Error> {
        self.may_read(actor, Module::Directory, None, Object::Many, None).await?;
        let found = rows::units(&**self.state(), after, limit)?;
        let opened = found.into_iter().map(|(id, row)| {
            let content = self.directory(id, id.as_bytes(), &row.content)?;
            Ok((id, row, content))
        });
        opened.collect()
    }

    /// Professionals, of one unit or of all, after one of them, by id.
    ///
    /// # Errors
    /// As [`Gateway::units`].
    pub async fn practitioners(
        &self,
        actor: &Actor,
        unit: Option<UnitId>,
        after: Option<PractitionerId>,
        limit: usize,
    ) -> Result<Vec<OfUnit<PractitionerId>>, Error> {
        self.may_read(actor, Module::Directory, unit, Object::Many, None).await?;
        let found = rows::practitioners(&**self.state(), unit, after, limit)?;
        let opened =
            found.iter().map(|(id, row)| Ok((*id, row.unit, self.directory(row.unit, id.as_bytes(), &row.content)?)));
        opened.collect()
    }

    /// Rooms, of one unit or of all, after one of them, by id.
    ///
    /// # Errors
    /// As [`Gateway::units`].
    pub async fn rooms(
        &self,
        actor: &Actor,
        unit: Option<UnitId>,
        after: Option<RoomId>,
        limit: usize,
    ) -> Result<Vec<OfUnit<RoomId>>, Error> {
        self.may_read(actor, Module::Directory, unit, Object::Many, None).await?;
        let found = rows::rooms(&**self.state(), unit, after, limit)?;
        let opened =
            found.iter().map(|(id, row)| Ok((*id, row.unit, self.directory(row.unit, id.as_bytes(), &row.content)?)));
        opened.collect()
    }
}
