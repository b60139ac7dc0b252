//! Units, professionals and rooms.

use super::{convert, refuse, writes};
use plantao_domain::audit::{Module, Object};
use plantao_domain::rows;
use plantao_proto::public::v1;
use tonic::{Request, Response, Status};

writes! {
    v1::directory_service_server::DirectoryService;
    register_unit: RegisterUnitRequest -> RegisterUnitResponse, "RegisterUnit",
        convert::unit_draft;
    register_practitioner: RegisterPractitionerRequest -> RegisterPractitionerResponse, "RegisterPractitioner",
        convert::practitioner_draft;
    register_room: RegisterRoomRequest -> RegisterRoomResponse, "RegisterRoom",
        convert::room_draft;
    ;
    async fn list_units(
        &self,
        request: Request<v1::ListUnitsRequest>,
    ) -> Result<Response<v1::ListUnitsResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let (size, token) = convert::page(request.get_ref().page.as_ref()).map_err(refuse)?;
        let after = convert::optional(&token, |t| convert::unit_id("page.token", t)).map_err(refuse)?;
        self.0.may_read(&actor, Module::Directory, None, Object::Many, None).await.map_err(refuse)?;
        let found = rows::units(&**self.0.state(), after, size).map_err(|e| refuse(e.into()))?;
        let next_page_token = convert::next(&found, size, |(id, _)| id.as_bytes().to_vec().into());
        let units = found.iter().map(|(id, row)| {
            Ok(convert::unit(*id, row, self.0.directory(*id, id.as_bytes(), &row.content)?))
        });
        let units = units.collect::<Result<_, _>>().map_err(refuse)?;
        Ok(Response::new(v1::ListUnitsResponse { as_of: convert::as_of(&reading, self.0.node()), units, next_page_token }))
    }

    async fn list_practitioners(
        &self,
        request: Request<v1::ListPractitionersRequest>,
    ) -> Result<Response<v1::ListPractitionersResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let message = request.get_ref();
        let (size, token) = convert::page(message.page.as_ref()).map_err(refuse)?;
        let unit = convert::optional(&message.unit_id, |t| convert::unit_id("unit_id", t)).map_err(refuse)?;
        let after = convert::optional(&token, |t| convert::practitioner_id("page.token", t)).map_err(refuse)?;
        self.0.may_read(&actor, Module::Directory, unit, Object::Many, None).await.map_err(refuse)?;
        let found = rows::practitioners(&**self.0.state(), unit, after, size).map_err(|e| refuse(e.into()))?;
        let next_page_token = convert::next(&found, size, |(id, _)| id.as_bytes().to_vec().into());
        let practitioners = found.iter().map(|(id, row)| {
            Ok(convert::practitioner(*id, row.unit, self.0.directory(row.unit, id.as_bytes(), &row.content)?))
        });
        let practitioners = practitioners.collect::<Result<_, _>>().map_err(refuse)?;
        let as_of = convert::as_of(&reading, self.0.node());
        Ok(Response::new(v1::ListPractitionersResponse { as_of, practitioners, next_page_token }))
    }

    async fn list_rooms(
        &self,
        request: Request<v1::ListRoomsRequest>,
    ) -> Result<Response<v1::ListRoomsResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let message = request.get_ref();
        let (size, token) = convert::page(message.page.as_ref()).map_err(refuse)?;
        let unit = convert::optional(&message.unit_id, |t| convert::unit_id("unit_id", t)).map_err(refuse)?;
        let after = convert::optional(&token, |t| convert::room_id("page.token", t)).map_err(refuse)?;
        self.0.may_read(&actor, Module::Directory, unit, Object::Many, None).await.map_err(refuse)?;
        let found = rows::rooms(&**self.0.state(), unit, after, size).map_err(|e| refuse(e.into()))?;
        let next_page_token = convert::next(&found, size, |(id, _)| id.as_bytes().to_vec().into());
        let rooms = found.iter().map(|(id, row)| {
            Ok(convert::room(*id, row.unit, self.0.directory(row.unit, id.as_bytes(), &row.content)?))
        });
        let rooms = rooms.collect::<Result<_, _>>().map_err(refuse)?;
        let as_of = convert::as_of(&reading, self.0.node());
        Ok(Response::new(v1::ListRoomsResponse { as_of, rooms, next_page_token }))
    }
}
