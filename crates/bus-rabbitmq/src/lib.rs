//! Topology, confirmed publish and consumption over RabbitMQ
