#include "actors/delivery.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "test/connectors/operator_harness.hpp"

namespace weir::test {
namespace {

TEST_CASE("the trace has a line for each message, with what the message is about", "[actors]") {
  const ManualClock clock;
  std::vector<std::string> lines;
  Delivery delivery(clock, [&](const std::string& line) { lines.push_back(line); });
  const ExecutionId execution{1, 0, 2};
  const JobId job{1, 2};
  UpdateTaskState update;
  update.job = job;
  update.execution = execution;
  update.state = TaskState::canceling;
  CHECK(delivery.admit(
      Envelope<UpdateTaskState>{endpoint_of(execution), job_manager_endpoint(), update}));
  CHECK(delivery.admit(Envelope<ListJobs>{client_endpoint(), job_manager_endpoint(), {}}));
  CHECK(lines ==
        std::vector<std::string>{
            R"({"t":0,"from":"Task:1/0","to":"JobManager","message":"UpdateTaskState","job":")" +
                to_string(job) + R"(","state":"canceling"})",
            R"({"t":0,"from":"client","to":"JobManager","message":"ListJobs"})"});
}

}  // namespace
}  // namespace weir::test
