#include "simulation/commit_watch.hpp"

#include <catch2/catch.hpp>

#include "state/snapshot_metadata.hpp"

namespace weir::test {
namespace {

using Catch::Contains;

const JobId job{0x1122334455667788, 2};
const JobId other_job{0x99aabbccddeeff00, 3};

/// Snapshots that complete, and a watch on their commits.
struct Commits {
  void complete(const JobId& of, std::uint64_t number,
                SnapshotKind kind = SnapshotKind::checkpoint) {
    SnapshotMetadata metadata;
    metadata.kind = kind;
    metadata.job = of;
    metadata.checkpoint = {number};
    const std::string path =
        "/c/" + to_string(of) + "/chk-" + std::to_string(number) + "/_metadata";
    content[path] = encode_metadata(metadata, number);
    REQUIRE_FALSE(snapshots.see({FileOperation::rename, "JobManager", "/x", path}));
  }
  std::optional<std::string> commit(const std::string& process, const JobId& of,
                                    std::uint64_t number) {
    const std::string name = "count-0-1-" + to_string(of).substr(0, 12) + "-0123456789ab";
    return commits.see({FileOperation::rename, process, "/out/.weir-" + name + ".pending",
                        "/out/" + name + "-" + std::to_string(number)});
  }

  std::map<std::string, std::string> content;
  SnapshotWatch snapshots{[this](const std::string& path) -> std::optional<std::string> {
    const auto found = content.find(path);
    if (found == content.end()) return std::nullopt;
    return found->second;
  }};
  CommitWatch commits{snapshots};
};

TEST_CASE("the newest attempt commits what a complete checkpoint covers", "[simulation]") {
  Commits one;
  one.commits.see_deployed("TaskManager-1", job, {{1}, 0});
  one.complete(job, 3);
  CHECK_FALSE(one.commit("TaskManager-1", job, 3));
  // Restored: a new attempt, and a new job, commit what their snapshot holds.
  one.commits.see_deployed("TaskManager-2", job, {{1}, 1});
  CHECK_FALSE(one.commit("TaskManager-2", job, 3));
  one.commits.see_deployed("TaskManager-3", other_job, {{1}, 0});
  CHECK_FALSE(one.commit("TaskManager-3", job, 3));
}

TEST_CASE("a commit of a checkpoint that has not completed is noticed", "[simulation]") {
  Commits one;
  one.commits.see_deployed("TaskManager-1", job, {{1}, 0});
  one.complete(job, 3);
  const auto told = one.commit("TaskManager-1", job, 4);
  REQUIRE(told);
  CHECK_THAT(*told, Contains("checkpoint 4 of job 112233445566..., or a newer one, was expected to "
                             "be complete when TaskManager-1 commits /out/count-0-1-"));
  CHECK(one.commit("TaskManager-1", other_job, 3));
  // One that was given up leaves its files to the next.
  CHECK_FALSE(one.commit("TaskManager-1", job, 2));
  one.complete(job, 5);
  CHECK_FALSE(one.commit("TaskManager-1", job, 4));
}

TEST_CASE("what an ordinary savepoint alone holds may a job commit that starts from there",
          "[simulation]") {
  Commits one;
  one.commits.see_deployed("TaskManager-1", job, {{1}, 0});
  one.complete(job, 3, SnapshotKind::savepoint);
  CHECK(one.commit("TaskManager-1", job, 3));
  one.commits.see_deployed("TaskManager-2", other_job, {{1}, 0});
  CHECK_FALSE(one.commit("TaskManager-2", job, 3));
  one.commits.see_deployed("TaskManager-1", job, {{2}, 0});
  one.complete(job, 4, SnapshotKind::terminal_savepoint);
  CHECK_FALSE(one.commit("TaskManager-1", job, 3));
}

TEST_CASE(
    "a commit by an attempt that is not the newest is noticed, unless the newest commits it too",
    "[simulation]") {
  Commits one;
  one.commits.see_deployed("TaskManager-1", job, {{1}, 0});
  one.complete(job, 3);
  one.commits.see_deployed("TaskManager-2", job, {{1}, 1});
  CHECK_FALSE(one.commit("TaskManager-1", job, 3));
  one.complete(job, 4);
  CHECK_FALSE(one.commit("TaskManager-2", job, 4));
  const auto told = one.commit("TaskManager-1", job, 4);
  REQUIRE(told);
  CHECK_THAT(*told, Contains("the newest attempt") && Contains("committed by TaskManager-1"));
  // What is told late of an older attempt does not make it the newest.
  one.commits.see_deployed("TaskManager-1", job, {{1}, 0});
  CHECK(one.commit("TaskManager-1", job, 4));
  CHECK_FALSE(one.commit("TaskManager-2", job, 4));
  // A newer leader counts on, and so does another job.
  one.commits.see_deployed("TaskManager-1", job, {{2}, 0});
  one.complete(job, 5);
  CHECK(one.commit("TaskManager-2", job, 5));
  one.commits.see_deployed("TaskManager-3", other_job, {{1}, 0});
  one.complete(job, 6);
  CHECK(one.commit("TaskManager-1", job, 6));
}

TEST_CASE("a JobManager that takes over may count its attempts from what is left", "[simulation]") {
  Commits one;
  one.commits.see_leader("JobManager-1");
  one.commits.see_deployed("TaskManager-1", job, {{2}, 5});
  one.commits.see_leader("JobManager-1");
  one.commits.see_deployed("TaskManager-2", job, {{2}, 0});
  one.complete(job, 3);
  CHECK(one.commit("TaskManager-2", job, 3));
  one.commits.see_leader("JobManager-2");
  one.commits.see_deployed("TaskManager-3", job, {{2}, 0});
  one.complete(job, 4);
  CHECK_FALSE(one.commit("TaskManager-3", job, 4));
  CHECK(one.commit("TaskManager-1", job, 4));
}

TEST_CASE("renames that are no commits and commits that fail are passed over", "[simulation]") {
  Commits one;
  for (const char* name : {"part-1", "count-0-1-1122334455667788-2", "x", "1-2-3",
                           "report-of-the-quarter-that-was-here-12",
                           ".weir-count-0-1-112233445566-0123456789ab.saved"})
    CHECK_FALSE(one.commits.see(
        {FileOperation::rename, "TaskManager-1", "/out/.x", std::string("/out/") + name}));
  CHECK_FALSE(one.commits.see({.operation = FileOperation::rename,
                               .process = "TaskManager-1",
                               .path = "/out/.x",
                               .to = "/out/count-0-1-112233445566-0123456789ab-3",
                               .failure = Errc::io_error}));
}

}  // namespace
}  // namespace weir::test
