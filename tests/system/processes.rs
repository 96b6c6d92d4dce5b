use countersign_tests::{Process, System, now_s};
use testkit::stripe;

#[tokio::test(flavor = "multi_thread")]
async fn each_service_stops_in_order_on_sigterm() {
    let system = System::new().await;
    let mut services: Vec<Process> = Vec::new();
    for service in ["ingress", "processor", "auditor"] {
        services.push(Process::start(&system, service, &[]));
    }
    let ingress = services[0].address("address").await;
    for service in &services {
        system.ready(service.address("admin").await).await;
    }
    let body = stripe::event("evt_1", "charge.succeeded", now_s(), &stripe::charge("ch_1", 1000));
    assert_eq!(system.post(ingress, &body).await.word(), "accepted");
    system.recorded(1).await;
    for service in &mut services {
        service.terminate();
        let status = service.ended().await;
        assert!(status.success(), "{status}: {}", service.log());
        assert!(service.log().contains("Stopped"), "{}", service.log());
    }
    system.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_with_three_mistakes_names_all_three() {
    let system = System::new().await;
    for service in ["ingress", "processor", "auditor"] {
        let mistakes = [
            (format!("COUNTERSIGN_CFG__{}__ADMIN_LISTEN", service.to_uppercase()), "nowhere"),
            (format!("COUNTERSIGN_CFG__{}__COLOUR", service.to_uppercase()), "blue"),
            ("COUNTERSIGN_CFG__WEATHER__TODAY".to_owned(), "fine"),
        ];
        let mistakes: Vec<(&str, &str)> =
            mistakes.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut process = Process::start(&system, service, &mistakes);
        assert_eq!(process.ended().await.code(), Some(64));
        for named in ["admin_listen", "colour", "weather"] {
            assert!(process.log().contains(named), "{named}: {}", process.log());
        }
    }
    system.close().await;
}
