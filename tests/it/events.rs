//! Where an event's name is, and which schema it chooses.

use crate::gateway::{github, stripe};
use crate::support::{App, Delivery, House, NOW};

#[test]
fn the_most_specific_name_chooses_the_schema() {
    let needs = |name: &str| format!("{{\"required\":[\"{name}\"]}}");
    let schemas = "[event.schema]\n\"customer.*\" = \"any.json\"\n\"customer.subscription.*\" = \"a.json\"\n\
                   \"customer.*.deleted\" = \"b.json\"\n\"customer.created\" = \"c.json\"\n";
    let rows = [
        ("customer.updated", "x", 200),
        ("customer.subscription.updated", "a", 200),
        ("customer.subscription.updated", "b", 422),
        ("customer.source.deleted", "b", 200),
        ("customer.source.deleted", "a", 422),
        ("customer.created", "c", 200),
        ("customer.created", "a", 422),
        ("customer", "x", 422),
        ("invoice.created", "x", 422),
    ];
    let app = App::start();
    let mut house = House::with("stripe", &stripe(&app, schemas)).file("any.json", "true");
    for name in ["a", "b", "c"] {
        house = house.file(&format!("{name}.json"), &needs(name));
    }
    let gateway = house.start();
    for (event, member, status) in rows {
        let body = format!("{{\"type\":\"{event}\",\"{member}\":1}}");
        assert_eq!(gateway.connect().send(&Delivery::stripe(&body, NOW)).status, status, "{event} {member}");
    }
}

#[test]
fn a_form_field_names_the_event() {
    let app = App::start();
    let policy = github(&app, "[event]\nform = \"kind\"\n");
    let policy = format!("content_types = [\"application/x-www-form-urlencoded\"]\n{policy}");
    let gateway = House::with("github", &policy).start();
    let form = |body: &str| {
        Delivery::post("/hooks/github", body)
            .replace("content-type", "application/x-www-form-urlencoded")
            .header("x-github-event", "ping")
            .signed("github", "GITHUB")
    };
    let rows = [("kind=push%2Bx&a=1", Some("push+x")), ("other=push", None)];
    for (count, (body, event)) in rows.into_iter().enumerate() {
        assert_eq!(gateway.connect().send(&form(body)).status, 200, "{body}");
        let taken = app.taken().remove(count);
        assert_eq!(taken.header("x-hookward-event"), event, "{body}");
        assert_eq!(taken.header("x-hookward-event-unsigned"), None, "{body}");
        assert_eq!(taken.body, body.as_bytes(), "{body}");
    }
    assert_eq!(gateway.connect().send(&form("kind=a&kind=b")).status, 400, "which of the two it is, nobody knows");
}
