#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "test/actors/committing_job.hpp"
#include "test/actors/stepped_cluster.hpp"

namespace weir::test {
namespace {

constexpr std::uint64_t records = CommittingJob::records;

/// One job of the story: sums by key, the running sum of every record committed.
struct Job : CommittingJob {
  JobId id;
  std::uint64_t begin = 0;  ///< the first index that its source reads
};

/// The whole flow, step by step. Every expectation that does not hold ends it with that sentence.
class Story {
 public:
  explicit Story(SteppedCluster& cluster) : cluster_(cluster) {}

  Status run() {
    WEIR_TRY_ASSIGN(first, submit({}, 0, std::make_shared<Committed>()));
    WEIR_TRY(read_to(first, records / 2));
    WEIR_TRY_ASSIGN(list, cluster_.request<JobList>(ListJobs{}));
    WEIR_TRY(expect(list.jobs.size() == 1 && list.jobs[0].state == JobState::running,
                    "one job is listed as RUNNING"));

    WEIR_TRY_ASSIGN(checkpoint, cluster_.request<CheckpointCompleted>(RequestCheckpoint{first.id}));
    WEIR_TRY(expect(cluster_.run_until([&] { return first.committed->sums.size() == records / 2; }),
                    "a completed checkpoint commits what came before it"));
    WEIR_TRY(expect_details(
        first, [](const JobDetails& now) { return now.checkpoints.completed == 1; },
        "the details count the completed checkpoint"));

    WEIR_TRY_ASSIGN(savepoint, cluster_.request<TriggerSavepointSuccess>(
                                   TriggerSavepoint{first.id, "/savepoints"}));
    WEIR_TRY_ASSIGN(disposed,
                    cluster_.request<DisposeSavepointSuccess>(DisposeSavepoint{savepoint.path}));
    WEIR_TRY(expect(!cluster_.storage->files.contains(savepoint.path + "/_metadata"),
                    "a disposed savepoint is gone"));

    // A savepoint without a place fails with that reason and nothing else.
    const auto refused = cluster_.request<TriggerSavepointSuccess>(TriggerSavepoint{first.id, ""});
    WEIR_TRY(expect(!refused && refused.error().what.contains("no savepoint directory"),
                    "a savepoint needs a directory"));

    // A task cannot write its share: it declines, the stop fails with its reason, the sources go on.
    cluster_.storage->failing_prefix = "create /refused/";
    const auto failed =
        cluster_.request<StoppingSuccess>(StopJobWithSavepoint{first.id, "/refused", false});
    WEIR_TRY(expect(!failed && failed.error().what.contains("injected"),
                    "a declined savepoint fails with the task's reason"));
    WEIR_TRY(read_to(first, records / 2 + 100));

    WEIR_TRY_ASSIGN(stopped, cluster_.request<StoppingSuccess>(
                                 StopJobWithSavepoint{first.id, "/savepoints", false}));
    WEIR_TRY(expect_end(first, JobState::finished));

    WEIR_TRY_ASSIGN(second, submit(stopped.savepoint, records / 2 + 100, first.committed));
    WEIR_TRY(read_to(second, records / 2 + 150));
    WEIR_TRY_ASSIGN(cancelled, cluster_.request<CancellationSuccess>(
                                   CancelJobWithSavepoint{second.id, "/savepoints"}));
    WEIR_TRY(expect_end(second, JobState::canceled));

    WEIR_TRY_ASSIGN(third, submit(cancelled.savepoint, records / 2 + 150, first.committed));
    // The tasks hear of it at once, although their operators do not return for a while.
    cluster_.tasks_are_held = true;
    const auto cancellation = cluster_.ask<CancellationSuccess>(CancelJob{third.id});
    WEIR_TRY(expect_details(
        third,
        [](const JobDetails& now) {
          return std::ranges::all_of(now.tasks,
                                     [](const auto& task) { return task.second == "canceling"; });
        },
        "every task of a job that is being cancelled is CANCELING"));
    cluster_.tasks_are_held = false;
    WEIR_TRY_ASSIGN(plain, cluster_.wait_for<CancellationSuccess>(cancellation));
    WEIR_TRY(expect_end(third, JobState::canceled));

    WEIR_TRY_ASSIGN(fourth, submit(cancelled.savepoint, records / 2 + 150, first.committed));
    fourth.gate->open_to(records);
    WEIR_TRY(expect_end(fourth, JobState::finished));
    WEIR_TRY(expect(first.sorted() == CommittingJob::model(),
                    "every record's running sum is committed once"));

    WEIR_TRY_ASSIGN(drained, submit({}, 0, std::make_shared<Committed>()));
    WEIR_TRY(read_to(drained, 50));
    WEIR_TRY_ASSIGN(ended, cluster_.request<StoppingSuccess>(
                               StopJobWithSavepoint{drained.id, "/savepoints", true}));
    WEIR_TRY(expect_end(drained, JobState::finished));

    WEIR_TRY_ASSIGN(fragile, submit({}, 0, std::make_shared<Committed>(),
                                    {{"execution.checkpointing.tolerable-failed-checkpoints", "0"},
                                     {"state.checkpoints.dir", "/checkpoints"}}));
    WEIR_TRY(read_to(fragile, 50));
    cluster_.storage->failing_prefix =
        "create_directories /checkpoints/" + to_string(fragile.id) + "/chk-";
    const auto untaken = cluster_.request<CheckpointCompleted>(RequestCheckpoint{fragile.id});
    WEIR_TRY(expect(!untaken && untaken.error().what.contains("injected"),
                    "a checkpoint without its directory fails"));
    WEIR_TRY(expect_end(fragile, JobState::failed));

    return expect(cluster_.run_until([&] { return cluster_.delivered["TaskEnded"] == deployed_; }),
                  "every task that was deployed has ended");
  }

 private:
  static Status expect(bool holds, const std::string& what) {
    if (holds) return {};
    return error(Errc::invalid_argument, "not so: " + what);
  }
  Result<Job> submit(const std::string& restore, std::uint64_t begin,
                     std::shared_ptr<Committed> committed,
                     std::map<std::string, std::string> configuration = {}) {
    Job job;
    job.committed = std::move(committed);
    job.begin = begin;
    const std::string library = "job-" + std::to_string(++jobs_);
    cluster_.libraries().add(library, [job](StreamEnvironment& env) { job.build(env); });
    job.id = JobId{1, jobs_};
    configuration["parallelism.default"] = "2";
    WEIR_TRY_ASSIGN(submission, cluster_.submission(job.id, library, configuration, restore));
    WEIR_TRY_ASSIGN(submitted, cluster_.request<SubmitJobSuccess>(SubmitJob{submission}));
    deployed_ += 3;  // one subtask of the source, two of the rest
    WEIR_TRY(expect_details(
        job, [](const JobDetails& now) { return now.overview.state == JobState::running; },
        "a submitted job runs"));
    return job;
  }
  /// Lets the job read the indices below `limit` and waits until it has.
  Status read_to(const Job& job, std::uint64_t limit) {
    job.gate->open_to(limit);
    return expect_details(
        job,
        [&](const JobDetails& now) { return now.operators[1].records_in >= limit - job.begin; },
        "the job reads as far as it may");
  }
  Status expect_details(const Job& job, const std::function<bool(const JobDetails&)>& holds,
                        const std::string& what) {
    const MonotonicTime end = cluster_.now() + std::chrono::minutes(1);
    for (;;) {
      WEIR_TRY_ASSIGN(details, cluster_.request<JobDetails>(RequestJobDetails{job.id}));
      if (holds(details)) return {};
      if (is_terminal(details.overview.state) || cluster_.now() > end) return expect(false, what);
      const MonotonicTime next = cluster_.now() + std::chrono::milliseconds(100);
      if (!cluster_.run_until([&] { return cluster_.now() >= next; }))
        return expect(false, what + " (nothing moves)");
    }
  }
  Status expect_end(const Job& job, JobState state) {
    return expect_details(
        job, [&](const JobDetails& now) { return now.overview.state == state; },
        "the job ends as " + std::string(enumerator_name(state)));
  }

  SteppedCluster& cluster_;
  std::uint64_t jobs_ = 0;
  std::size_t deployed_ = 0;
};

/// The name under which a message of the list is delivered; of a reply, that of its success.
template <class M>
std::string delivered_name(TypeTag<M>) {
  return message_name(M{});
}
template <class T>
std::string delivered_name(TypeTag<Reply<T>>) {
  return message_name(Reply<T>(T{}));
}

TEST_CASE("the whole flow runs in virtual time", "[actors]") {
  SteppedCluster cluster;
  const Status told = Story(cluster).run();
  INFO((told ? "" : told.error().what));
  CHECK(told);
}

TEST_CASE("without any one of the protocol's messages the flow fails", "[actors]") {
  std::map<std::string, std::size_t> delivered;
  {
    SteppedCluster cluster;
    REQUIRE(Story(cluster).run());
    delivered = cluster.delivered;
  }
  // The story must need every message that there is, and what a task may report.
  std::vector<std::string> wanted{"TriggerSavepointFailure"};
#define WEIR_NAME(Type, name) wanted.push_back(delivered_name(TypeTag<Type>{}));
  WEIR_MESSAGE_LIST(WEIR_NAME)
#undef WEIR_NAME
  std::erase(wanted, "UpdateTaskState");
  for (const auto state : {"running", "finishing", "finished", "canceling", "canceled"})
    wanted.push_back(std::string("UpdateTaskState ") + state);
  for (const std::string& name : wanted) {
    INFO(name);
    CHECK(delivered.contains(name));
  }
  // It tells people how far a task has got; nothing is decided by it.
  delivered.erase("UpdateTaskState deploying");
  // By it, what was lost is found; here nothing else is.
  delivered.erase("TasksHeard");
  for (const auto& [name, count] : delivered) {
    SteppedCluster cluster(
        [&name](const DeliveryRecord& record) { return SteppedCluster::label(record) == name; });
    const Status told = Story(cluster).run();
    INFO("without " << name << ", which was delivered " << count
                    << " times, the flow went on to its end");
    CHECK_FALSE(told);
  }
}

/// Whether a message goes from the JobManager's process to a TaskManager's, or the other way.
bool is_between_processes(const DeliveryRecord& record) {
  const auto is_master = [](const Endpoint& one) {
    return one.kind == EndpointKind::job_manager ||
           one.kind == EndpointKind::checkpoint_coordinator;
  };
  const auto is_worker = [](const Endpoint& one) {
    return one.kind == EndpointKind::task_manager || one.kind == EndpointKind::task;
  };
  return (is_master(record.from) && is_worker(record.to)) ||
         (is_worker(record.from) && is_master(record.to));
}

TEST_CASE("the flow bears the loss of any one message between JobManager and TaskManager",
          "[actors]") {
  std::map<std::string, std::size_t> sent;
  const auto label_between = [](const DeliveryRecord& record) {
    return SteppedCluster::label(record) + " to " + to_string(record.to);
  };
  {
    SteppedCluster cluster([&](const DeliveryRecord& record) {
      // The story begins at once and does not wait for a TaskManager that registers again.
      if (is_between_processes(record) && record.message != "RegisterTaskManager" &&
          record.message != "RegistrationSuccess")
        ++sent[label_between(record)];
      return false;
    });
    REQUIRE(Story(cluster).run());
  }
  for (const auto& [label, count] : sent) {
    // Of what is sent often, as heartbeats are, some.
    const std::size_t step = std::max<std::size_t>(count / 12, 1);
    for (std::size_t lost = 1; lost <= count; lost += step) {
      std::size_t seen = 0;
      SteppedCluster cluster([&](const DeliveryRecord& record) {
        return is_between_processes(record) && label_between(record) == label && ++seen == lost;
      });
      const Status told = Story(cluster).run();
      INFO("without the " << lost << ". " << label << ": " << (told ? "" : told.error().what)
                          << cluster.log());
      CHECK(told);
      CHECK(seen >= lost);
    }
  }
}

}  // namespace
}  // namespace weir::test
