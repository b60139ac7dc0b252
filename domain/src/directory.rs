//! Units, professionals and rooms.
