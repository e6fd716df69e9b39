//! What a scheme proves, in words for people.
