#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "actors/gateways.hpp"
#include "test/actors/stepped_cluster.hpp"

namespace weir::test {
namespace {

/// How the gateway `whose` refuses a request.
Error refusal(const std::string& whose) {
  return {Errc::limit_exceeded,
          whose + " has 1,000 requests waiting, as many as it takes; try again later"};
}
const std::string clients = "the gateway of the JobManager's clients";

TEST_CASE("a bound admits 1,000 requests, and one more for each that is answered", "[actors]") {
  const RequestBound bound("the gateway to TaskManager 7");
  std::vector<std::shared_ptr<RequestBound::Place>> places;
  for (std::size_t i = 0; i < RequestBound::max_in_flight; ++i) {
    auto place = bound.admit();
    REQUIRE(place);
    places.push_back(*place);
  }
  const auto full = [&] {
    const auto refused = bound.admit();
    return !refused && refused.error() == refusal("the gateway to TaskManager 7");
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

TEST_CASE(
    "a JobManager admits 1,000 requests of clients that wait and refuses more until one is "
    "answered",
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
  CHECK(refused.error() == refusal(clients));
  // Questions and the end of a job do not wait behind them.
  CHECK(cluster.request<JobList>(ListJobs{}));
  const auto details = cluster.request<JobDetails>(RequestJobDetails{JobId{1, 1}});
  REQUIRE_FALSE(details);
  CHECK(details.error().code == Errc::not_found);
  const auto cancelled = cluster.request<CancellationSuccess>(CancelJob{JobId{1, 1}});
  REQUIRE_FALSE(cancelled);
  CHECK(cancelled.error().code == Errc::not_found);

  cluster.do_one_io();
  REQUIRE(cluster.run_until([&] { return waiting.front()->has_value(); }));
  waiting.push_back(dispose());
  REQUIRE(cluster.run_until(
      [&] { return cluster.delivered["DisposeSavepoint"] == RequestBound::max_in_flight + 2; }));
  CHECK_FALSE(waiting.back()->has_value());
  const auto full = cluster.wait_for<DisposeSavepointSuccess>(dispose());
  REQUIRE_FALSE(full);
  CHECK(full.error() == refusal(clients));

  cluster.io_is_held = false;
  for (const auto& one : waiting) {
    const auto answered = cluster.wait_for<DisposeSavepointSuccess>(one);
    REQUIRE((answered || answered.error().code != Errc::limit_exceeded));
  }
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
  CHECK(refused == std::vector{refusal("the gateway to the JobManager")});
}

/// A job of one vertex, whose subtasks fill as many slots.
JobId submit_copies(SteppedCluster& cluster, std::uint64_t number, std::uint32_t parallelism) {
  const JobId id{2, number};
  const auto submission = cluster.submission(
      id, "copies",
      {{"parallelism.default", std::to_string(parallelism)}, {"restart-strategy", "none"}});
  REQUIRE(submission);
  REQUIRE(cluster.request<SubmitJobSuccess>(SubmitJob{*submission}));
  return id;
}

TEST_CASE("a task that its TaskManager's gateway has no place for is deployed when there is one",
          "[actors]") {
  const JobId early{2, 1};
  const JobId many{2, 2};
  // A deployment that is lost holds its place until it is given up, after ten seconds.
  std::size_t lost = 0;
  SteppedCluster cluster(
      [&](const DeliveryRecord& record) {
        const bool drops =
            record.message == "SubmitTask" && (record.job == early || record.job == many);
        lost += drops ? 1 : 0;
        return drops;
      },
      RequestBound::max_in_flight + 1);
  cluster.libraries().add("copies", [](StreamEnvironment& env) {
    env.generate(
           1'000'000, [](std::uint64_t i) { return i; }, 1.0)
        .uid("numbers")
        .collect(std::make_shared<Collected<std::uint64_t>>())
        .uid("taken");
  });
  const auto state_of = [&](const JobId& id) {
    const auto details = cluster.request<JobDetails>(RequestJobDetails{id});
    REQUIRE(details);
    return details->overview.state;
  };

  REQUIRE(submit_copies(cluster, 1, 1) == early);
  REQUIRE(cluster.run_until([&] { return lost == 1; }));
  cluster.run_for(std::chrono::seconds(5));
  REQUIRE(submit_copies(cluster, 2, RequestBound::max_in_flight - 1) == many);
  REQUIRE(cluster.run_until([&] { return lost == RequestBound::max_in_flight; }));
  const JobId last = submit_copies(cluster, 3, 1);
  cluster.run_for(std::chrono::seconds(3));
  CHECK(cluster.delivered["SubmitTask"] == 0);
  CHECK(state_of(last) == JobState::created);

  // Only the first has given up a place by then.
  cluster.run_for(std::chrono::seconds(3));
  CHECK(cluster.delivered["SubmitTask"] == 1);
  CHECK(state_of(last) == JobState::running);
  // Who was not answered is deployed again, and has not failed.
  CHECK(state_of(early) == JobState::created);
  CHECK(state_of(many) == JobState::created);
  REQUIRE(cluster.run_until([&] { return lost > RequestBound::max_in_flight; }));
}

}  // namespace
}  // namespace weir::test
