//! Rate limits: how much one client address may ask for.
