//! What is in each cart now, what it costs and what was paid: the Rust twin of `index.js`.

use crate::native::{
    NativeSource, ScriptOrder, object, objects, product, refuse, sum, text, whole, whole_or_null,
};
use magpie_indexes::function::{Emitted, FunctionError, Loads, SharedSource};
use magpie_store::Document;
use magpie_store::json::{Json, Object};
use std::collections::BTreeMap;

/// The index, ready to be registered.
#[must_use]
pub fn source() -> SharedSource {
    NativeSource {
        revision: "magpie-samples/shopping_cart/2",
        collections: &["AddItemToCart", "RemoveItemFromCart", "PayForCart"],
        loads: &[],
        group_by: &["cart"],
        fields: &["cart", "payments", "tally"],
        map,
        reduce,
        finalize: Some((finalize, &["cart", "lines", "due", "paid", "payments", "tally"])),
        options: "{}",
    }
    .shared()
}

/// What the events say of one product so far, also when the cart does not show it.
#[derive(Default)]
struct Tally {
    quantity: i64,
    price: Option<i64>,
}

impl Tally {
    fn add(&mut self, quantity: i64, price: Option<i64>) -> Result<(), FunctionError> {
        self.quantity = sum(self.quantity, quantity)?;
        self.price = [self.price, price].into_iter().flatten().min();
        Ok(())
    }

    fn json(&self, product: &str) -> Json {
        object([
            ("product", product.into()),
            ("quantity", self.quantity.into()),
            ("price", self.price.into()),
        ])
    }
}

fn map(document: &Document, _loads: &mut dyn Loads) -> Result<Vec<Emitted>, FunctionError> {
    let event = document.body_json();
    let cart = text(&event, "cart")?;
    let empty = || Json::Array(Vec::new());
    let (payments, tally) = match document.collection.key() {
        "additemtocart" => {
            let product = text(&event, "product")?;
            let tally = Tally { quantity: count(&event, "quantity")?, price: Some(count(&event, "price")?) };
            (empty(), Json::Array(vec![tally.json(product)]))
        }
        "removeitemfromcart" => {
            let product = text(&event, "product")?;
            let tally = Tally { quantity: -count(&event, "quantity")?, price: None };
            (empty(), Json::Array(vec![tally.json(product)]))
        }
        _ => {
            let payment = payment_json(text(&event, "method")?, whole(&event, "amount")?);
            (Json::Array(vec![payment]), empty())
        }
    };
    let value = cart_json(&cart.into(), payments, tally);
    Ok(vec![Emitted { key: vec![cart.into()], value }])
}

fn count(event: &Object, name: &str) -> Result<i64, FunctionError> {
    let value = whole(event, name)?;
    if value < 0 { Err(refuse("quantity and price must not be negative".to_owned())) } else { Ok(value) }
}

fn reduce(key: &[Json], values: &[Json]) -> Result<Json, FunctionError> {
    let mut products: BTreeMap<ScriptOrder<'_>, Tally> = BTreeMap::new();
    let mut methods: BTreeMap<ScriptOrder<'_>, i64> = BTreeMap::new();
    for value in values {
        for entry in objects(value, "tally")? {
            let known = products.entry(ScriptOrder(text(entry, "product")?)).or_default();
            known.add(whole(entry, "quantity")?, whole_or_null(entry, "price")?)?;
        }
        for payment in objects(value, "payments")? {
            let known = methods.entry(ScriptOrder(text(payment, "method")?)).or_default();
            *known = sum(*known, whole(payment, "amount")?)?;
        }
    }

    let payments = methods.iter().map(|(method, amount)| payment_json(method.0, *amount)).collect();
    // The tally keeps what the cart no longer shows: a removal may be folded before the addition it belongs to,
    // and a price once offered still counts when the product comes back.
    let tally = products.iter().map(|(name, tally)| tally.json(name.0)).collect();
    let cart = key.first().cloned().unwrap_or_default();
    Ok(cart_json(&cart, Json::Array(payments), Json::Array(tally)))
}

fn finalize(cart: &Json) -> Result<Json, FunctionError> {
    let (mut due, mut paid) = (0, 0);
    let mut lines = Vec::new();
    for entry in objects(cart, "tally")? {
        let quantity = whole(entry, "quantity")?;
        if quantity > 0 {
            let price = whole_or_null(entry, "price")?;
            let total = product(quantity, price.unwrap_or(0))?;
            due = sum(due, total)?;
            lines.push(object([
                ("product", text(entry, "product")?.into()),
                ("quantity", quantity.into()),
                ("price", price.into()),
                ("total", total.into()),
            ]));
        }
    }
    for payment in objects(cart, "payments")? {
        paid = sum(paid, whole(payment, "amount")?)?;
    }
    let field = |name: &str| cart.get(name).cloned().unwrap_or_default();
    Ok(object([
        ("cart", field("cart")),
        ("lines", lines.into()),
        ("due", due.into()),
        ("paid", paid.into()),
        ("payments", field("payments")),
        ("tally", field("tally")),
    ]))
}

fn payment_json(method: &str, amount: i64) -> Json {
    object([("method", method.into()), ("amount", amount.into())])
}

fn cart_json(cart: &Json, payments: Json, tally: Json) -> Json {
    object([("cart", cart.clone()), ("payments", payments), ("tally", tally)])
}
