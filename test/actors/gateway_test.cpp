#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "actors/gateways.hpp"
#include "test/actors/stepped_cluster.hpp"

namespace weir::test {
namespace {

const std::string refusal =
    "this gateway has 1,000 requests waiting, as many as it takes; try again later";

TEST_CASE("a bound admits 1,000 requests, and one more for each that is answered", "[actors]") {
  const RequestBound bound;
  std::vector<std::shared_ptr<RequestBound::Place>> places;
  for (std::size_t i = 0; i < RequestBound::max_in_flight; ++i) {
    auto place = bound.admit();
    REQUIRE(place);
    places.push_back(*place);
  }
  const auto full = [&] {
    const auto refused = bound.admit();
    return !refused && refused.error() == Error{Errc::limit_exceeded, refusal};
  };
  CHECK(full());
  places[7]->leave();
  places[7]->leave();  // gives it back once
  const auto next = bound.admit();
  CHECK(next);
  CHECK(full());
  places.erase(places.begin());
  CHECK(bound.admit());
}

TEST_CASE("a JobManager admits 1,000 requests of clients and refuses more until one is answered",
          "[actors]") {
  SteppedCluster cluster;
  cluster.io_is_held = true;  // where savepoints are disposed
  std::vector<SteppedCluster::Awaited<DisposeSavepointSuccess>> waiting;
  const auto dispose = [&] {
    return cluster.ask<DisposeSavepointSuccess>(
        DisposeSavepoint{"/none/" + std::to_string(waiting.size())}, std::chrono::hours(1));
  };
  for (std::size_t i = 0; i < RequestBound::max_in_flight; ++i) waiting.push_back(dispose());
  REQUIRE(cluster.run_until(
      [&] { return cluster.delivered["DisposeSavepoint"] == RequestBound::max_in_flight; }));
  for (const auto& one : waiting) REQUIRE_FALSE(one->has_value());

  const auto refused = cluster.wait_for<DisposeSavepointSuccess>(dispose());
  REQUIRE_FALSE(refused);
  CHECK(refused.error() == Error{Errc::limit_exceeded, refusal});
  const auto list = cluster.request<JobList>(ListJobs{});
  REQUIRE_FALSE(list);
  CHECK(list.error() == Error{Errc::limit_exceeded, refusal});

  cluster.do_one_io();
  REQUIRE(cluster.run_until([&] { return waiting.front()->has_value(); }));
  const auto again = cluster.request<JobList>(ListJobs{});
  CHECK(again);

  waiting.push_back(dispose());
  REQUIRE(cluster.run_until(
      [&] { return cluster.delivered["DisposeSavepoint"] == RequestBound::max_in_flight + 2; }));
  CHECK_FALSE(waiting.back()->has_value());
  CHECK_FALSE(cluster.request<JobList>(ListJobs{}));

  cluster.io_is_held = false;
  for (const auto& one : waiting) {
    const auto answered = cluster.wait_for<DisposeSavepointSuccess>(one);
    REQUIRE((answered || answered.error().code != Errc::limit_exceeded));
  }
  CHECK(cluster.request<JobList>(ListJobs{}));
}

TEST_CASE("what a TaskManager asks of the JobManager is counted at its gateway, apart from clients",
          "[actors]") {
  SteppedCluster cluster;
  const JobManagerGateway gateway(cluster.job_manager());
  std::size_t answered = 0;
  std::vector<Error> refused;
  bool next_was_answered = false;
  const auto sender = [&](caf::event_based_actor* self, const JobManagerGateway*) {
    const auto ask = [self, &gateway, &refused](auto on_answer) {
      gateway.request<RegistrationSuccess>(
          self, std::chrono::hours(1), endpoint_of(TaskManagerId{2}),
          RegisterTaskManager{TaskManagerId{2}, 1}, on_answer,
          [&refused](const Error& why) { refused.push_back(why); });
    };
    for (std::size_t i = 0; i <= RequestBound::max_in_flight; ++i)
      ask([&answered, &next_was_answered, ask](const Envelope<Reply<RegistrationSuccess>>&) {
        if (++answered > 1) return;
        ask([&next_was_answered](const Envelope<Reply<RegistrationSuccess>>&) {
          next_was_answered = true;
        });
      });
  };
  cluster.system().spawn(sender, &gateway);
  REQUIRE(cluster.run_until([&] { return next_was_answered; }));
  CHECK(answered == RequestBound::max_in_flight);
  CHECK(refused == std::vector{Error{Errc::limit_exceeded, refusal}});
}

}  // namespace
}  // namespace weir::test
