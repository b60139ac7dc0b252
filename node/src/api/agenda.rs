//! Bookings.

use super::{convert, refuse, writes};
use plantao_proto::public::v1;
use tonic::{Request, Response, Status};

writes! {
    v1::agenda_service_server::AgendaService;
    book: BookRequest -> BookResponse, "Book", convert::book_draft;
    move_appointment: MoveAppointmentRequest -> MoveAppointmentResponse, "MoveAppointment", convert::move_draft;
    change_appointment_state: ChangeAppointmentStateRequest -> ChangeAppointmentStateResponse,
        "ChangeAppointmentState", convert::state_draft;
    ;
    async fn get_appointment(
        &self,
        request: Request<v1::GetAppointmentRequest>,
    ) -> Result<Response<v1::GetAppointmentResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let id = convert::appointment_id("appointment_id", &request.get_ref().appointment_id).map_err(refuse)?;
        let (row, document) = self.0.appointment(&actor, id, request.get_ref().content).await.map_err(refuse)?;
        let appointment = Some(convert::appointment(id, &row, document));
        let as_of = convert::as_of(&reading, self.0.node());
        Ok(Response::new(v1::GetAppointmentResponse { as_of, appointment }))
    }

    async fn list_appointments(
        &self,
        request: Request<v1::ListAppointmentsRequest>,
    ) -> Result<Response<v1::ListAppointmentsResponse>, Status> {
        let (actor, reading) = self.begin(&request, request.get_ref().read.as_ref()).await?;
        let message = request.get_ref();
        let (size, token) = convert::page(message.page.as_ref()).map_err(refuse)?;
        let after = convert::agenda_cursor(&token).map_err(refuse)?;
        let of = convert::agenda_of(message.of.as_ref()).map_err(refuse)?;
        let interval = convert::interval(message.from_ms, message.to_ms).map_err(refuse)?;
        let (found, last) = self.0.agenda(&actor, of, interval, after, size).await.map_err(refuse)?;
        let next_page_token = last.as_ref().map(convert::agenda_token).unwrap_or_default();
        let appointments = found.iter().map(|(id, row)| convert::appointment(*id, row, Vec::new())).collect();
        let as_of = convert::as_of(&reading, self.0.node());
        Ok(Response::new(v1::ListAppointmentsResponse { as_of, appointments, next_page_token }))
    }
}
