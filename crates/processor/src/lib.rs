//! Books what the bus delivers, once
