// What is in each cart now, what it costs and what was paid. All amounts are whole cents.

map('AddItemToCart', e => ({
    cart: text(e.cart, 'cart'), payments: [],
    tally: [{ product: text(e.product, 'product'), quantity: count(e.quantity), price: count(e.price) }]
}));

map('RemoveItemFromCart', e => ({
    cart: text(e.cart, 'cart'), payments: [],
    tally: [{ product: text(e.product, 'product'), quantity: 0 - count(e.quantity), price: null }]
}));

map('PayForCart', e => ({
    cart: text(e.cart, 'cart'),
    payments: [{ method: text(e.method, 'method'), amount: whole(e.amount, 'amount') }],
    tally: []
}));

function text(value, name) {
    if (typeof value !== 'string') throw new Error(`${name} must be a string`);
    return value;
}

// A whole number that a double holds exactly.
function whole(value, name) {
    if (!Number.isSafeInteger(value)) throw new Error(`${name} must be a whole number`);
    return value;
}

function count(value) {
    if (whole(value, 'quantity and price') < 0) throw new Error('quantity and price must not be negative');
    return value;
}

groupBy(e => e.cart).aggregate(g => {
    const products = new Map();
    const methods = new Map();
    for (const value of g.values) {
        for (const { product, quantity, price } of value.tally) {
            const known = products.get(product) ?? { product, quantity: 0, price: null };
            known.quantity += quantity;
            known.price = cheaper(known.price, price);
            products.set(product, known);
        }
        for (const { method, amount } of value.payments) {
            methods.set(method, (methods.get(method) ?? 0) + amount);
        }
    }

    // The tally keeps what the cart no longer shows: a removal may be folded before the addition it
    // belongs to, and a price once offered still counts when the product comes back.
    const tally = [...products.values()].sort((a, b) => a.product < b.product ? -1 : 1);
    const payments = [...methods.keys()].sort().map(method => ({ method, amount: methods.get(method) }));
    return { cart: g.key, payments, tally };
}).finalize(cart => {
    const lines = cart.tally
        .filter(t => t.quantity > 0)
        .map(t => ({ product: t.product, quantity: t.quantity, price: t.price, total: t.quantity * t.price }));
    return {
        cart: cart.cart,
        lines,
        due: whole(lines.reduce((sum, line) => sum + line.total, 0), 'due'),
        paid: whole(cart.payments.reduce((sum, payment) => sum + payment.amount, 0), 'paid'),
        payments: cart.payments,
        tally: cart.tally
    };
});

function cheaper(a, b) {
    if (a === null || b === null) return a ?? b;
    return Math.min(a, b);
}
