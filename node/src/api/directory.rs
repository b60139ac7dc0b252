//! Units, professionals and rooms.

use super::{convert, refuse, writes};
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
        let found = self.0.units(&actor, after, size).await.map_err(refuse)?;
        let next_page_token = convert::next(&found, size, |(id, ..)| id.as_bytes().to_vec().into());
        let units = found.into_iter().map(|(id, row, content)| convert::unit(id, &row, content)).collect();
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
        let found = self.0.practitioners(&actor, unit, after, size).await.map_err(refuse)?;
        let next_page_token = convert::next(&found, size, |(id, ..)| id.as_bytes().to_vec().into());
        let practitioners = found.into_iter().map(|(id, unit, content)| convert::practitioner(id, unit, content)).collect();
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
        let found = self.0.rooms(&actor, unit, after, size).await.map_err(refuse)?;
        let next_page_token = convert::next(&found, size, |(id, ..)| id.as_bytes().to_vec().into());
        let rooms = found.into_iter().map(|(id, unit, content)| convert::room(id, unit, content)).collect();
        let as_of = convert::as_of(&reading, self.0.node());
        Ok(Response::new(v1::ListRoomsResponse { as_of, rooms, next_page_token }))
    }
}
