#include "connectors/file_sink.hpp"

#include <algorithm>

#include <catch2/catch.hpp>

#include "simulation/simulated_file_system.hpp"
#include "test/connectors/operator_harness.hpp"

namespace weir {
namespace {

constexpr int record_count = 12;
const std::string directory = "/out";
constexpr JobId some_job{0x0123456789abcdef, 1};

struct Format {
  std::string operator()(const int& record) const { return std::to_string(record); }
};

/// The files under `directory` without a leading dot.
std::map<std::string, std::string> committed_files(const SimulatedDisk& disk) {
  std::map<std::string, std::string> result = disk.contents();
  std::erase_if(result, [](const auto& file) {
    return !file.first.starts_with(directory + "/") || file.first[directory.size() + 1] == '.';
  });
  return result;
}

std::size_t pending_count(const SimulatedDisk& disk) {
  return static_cast<std::size_t>(std::ranges::count_if(disk.contents(), [](const auto& file) {
    // What a savepoint holds stays for whoever restores it.
    return file.first.starts_with(directory + "/.") && !file.first.ends_with(".saved");
  }));
}

/// The lines of all committed files, sorted as numbers.
std::vector<int> committed(const SimulatedDisk& disk) {
  std::vector<int> result;
  for (const auto& [path, content] : committed_files(disk)) {
    CHECK_FALSE(content.empty());
    for (std::size_t begin = 0; begin < content.size();) {
      const std::size_t end = content.find('\n', begin);
      REQUIRE(end != std::string::npos);
      result.push_back(std::stoi(content.substr(begin, end - begin)));
      begin = end + 1;
    }
  }
  std::ranges::sort(result);
  return result;
}

std::vector<int> records(int begin, int end) {
  std::vector<int> result;
  for (int i = begin; i < end; ++i) result.push_back(i);
  return result;
}

CheckpointBarrier barrier(std::uint64_t id, SnapshotKind kind = SnapshotKind::checkpoint) {
  return {{id}, 0, {.kind = kind}};
}

/// The snapshot that a restart begins from.
struct Completed {
  FrozenStates states;
  int next_record = 0;
  std::uint64_t id = 0;
};

/// One attempt of a job that sends record `i` to subtask `i % parallelism` of a file sink. Every
/// call is one step, after which the process may stop.
class SinkAttempt {
 public:
  SinkAttempt(FileSystem& files, Surroundings& around, std::uint32_t parallelism,
              const std::optional<Completed>& from, std::string uid = "sink",
              JobId job = some_job) {
    if (from) next_record_ = from->next_record;
    for (std::uint32_t i = 0; i < parallelism; ++i) {
      auto context = std::make_unique<FakeContext>(files, around, uid, i, parallelism);
      context->job_id = job;
      if (from) {
        context->restored = true;
        context->operator_state().restore(deal(from->states, i, parallelism));
      }
      subtasks_.push_back(
          {std::move(context), std::make_unique<FileSink<int, Format>>(directory, Format{})});
    }
  }

  [[nodiscard]] std::size_t size() const { return subtasks_.size(); }
  [[nodiscard]] int next_record() const { return next_record_; }
  void open(std::size_t i) { value_or_throw(subtasks_[i].sink->open(*subtasks_[i].context)); }
  void open_all() {
    for (std::size_t i = 0; i < size(); ++i) open(i);
  }
  void write() {
    Batch<int> batch;
    batch.add(next_record_);
    Cursor cursor{0, 1};
    subtasks_[static_cast<std::size_t>(next_record_) % size()].sink->on_batch(0, batch, cursor);
    REQUIRE(cursor.next == 1);
    ++next_record_;
  }
  /// Freezes subtask `i` for a checkpoint, whose snapshot grows with every call.
  void freeze_subtask(std::size_t i, const CheckpointBarrier& at) {
    if (i == 0) taken_ = {{}, next_record_, at.id.value};
    if (!ended_) before_barrier(i, at);
    value_or_throw(subtasks_[i].sink->snapshot_state(at));
    taken_.states.subtasks.push_back(freeze(*subtasks_[i].context));
  }
  void before_barrier(std::size_t i, const CheckpointBarrier& at) {
    (void)subtasks_[i].sink->before_barrier(at);
  }
  [[nodiscard]] const Completed& taken() const { return taken_; }
  void notify(std::size_t i, std::uint64_t id, SnapshotKind kind = SnapshotKind::checkpoint) {
    value_or_throw(subtasks_[i].sink->notify_checkpoint_complete({id}, kind));
  }
  void abort(std::size_t i, std::uint64_t id) {
    value_or_throw(subtasks_[i].sink->notify_checkpoint_aborted({id}));
  }
  void end(std::size_t i) {
    (void)subtasks_[i].sink->on_end(0);
    ended_ = ended_ || i + 1 == size();
  }

  /// A whole checkpoint, told to all.
  Completed checkpoint(std::uint64_t id, SnapshotKind kind = SnapshotKind::checkpoint) {
    for (std::size_t i = 0; i < size(); ++i) freeze_subtask(i, barrier(id, kind));
    for (std::size_t i = 0; i < size(); ++i) notify(i, id, kind);
    return taken_;
  }
  /// All records that are left, the end of the input and the final checkpoint.
  void finish(std::uint64_t id) {
    while (next_record_ < record_count) write();
    for (std::size_t i = 0; i < size(); ++i) end(i);
    checkpoint(id);
  }

 private:
  struct Subtask {
    std::unique_ptr<FakeContext> context;
    std::unique_ptr<FileSink<int, Format>> sink;
  };
  std::vector<Subtask> subtasks_;
  int next_record_ = 0;
  bool ended_ = false;
  Completed taken_;
};

/// Runs a whole job on `attempt`: records between a checkpoint, one without records, one that is
/// aborted, a savepoint, a checkpoint announced twice and the final one. Calls `step` after every
/// step; if that returns false, the process stops there. `recovery` is kept up to date as the
/// coordinator would.
template <class Step>
void run_story(SinkAttempt& attempt, std::optional<Completed>& recovery, Step step) {
  const auto each = [&](auto&& call) {
    for (std::size_t i = 0; i < attempt.size(); ++i) {
      call(i);
      if (!step()) return false;
    }
    return true;
  };
  const auto write_up_to = [&](int end) {
    while (attempt.next_record() < end) {
      attempt.write();
      if (!step()) return false;
    }
    return true;
  };
  const auto take = [&](std::uint64_t id, SnapshotKind kind) {
    return each([&](std::size_t i) { attempt.freeze_subtask(i, barrier(id, kind)); });
  };
  const auto complete = [&](std::uint64_t id, SnapshotKind kind) {
    if (kind != SnapshotKind::savepoint) recovery = attempt.taken();
    return step() && each([&](std::size_t i) { attempt.notify(i, id, kind); });
  };
  using enum SnapshotKind;
  if (!each([&](std::size_t i) { attempt.open(i); })) return;
  if (!write_up_to(3) || !take(1, checkpoint) || !complete(1, checkpoint)) return;
  if (!take(2, checkpoint) || !complete(2, checkpoint)) return;
  if (!write_up_to(5) || !take(3, checkpoint)) return;
  if (!each([&](std::size_t i) { attempt.abort(i, 3); })) return;
  if (!write_up_to(7) || !take(4, savepoint) || !complete(4, savepoint)) return;
  if (!write_up_to(9) || !take(5, checkpoint)) return;
  if (!write_up_to(10) || !complete(5, checkpoint) || !complete(5, checkpoint)) return;
  if (!write_up_to(record_count)) return;
  if (!each([&](std::size_t i) { attempt.end(i); })) return;
  if (!take(6, checkpoint) || !complete(6, checkpoint)) return;
}

SCENARIO("lines become visible when their checkpoint is complete", "[connectors]") {
  GIVEN("a sink with two subtasks that has written") {
    SimulatedFileSystem files;
    SimulatedDisk& disk = files.disk();
    Surroundings around;
    SinkAttempt attempt(files, around, 2, std::nullopt);
    attempt.open_all();
    for (int i = 0; i < 4; ++i) attempt.write();
    THEN("nothing is visible") {
      CHECK(committed_files(disk).empty());
      CHECK(pending_count(disk) == 2);
    }
    WHEN("the barrier has passed") {
      attempt.freeze_subtask(0, barrier(1));
      attempt.freeze_subtask(1, barrier(1));
      THEN("nothing is visible yet") { CHECK(committed_files(disk).empty()); }
      AND_WHEN("more is written and one subtask hears that it is complete") {
        attempt.write();
        attempt.write();
        attempt.notify(1, 1);
        THEN("that one's lines before the barrier are visible") {
          CHECK(committed(disk) == std::vector<int>{1, 3});
          CHECK(pending_count(disk) == 3);
        }
      }
      AND_WHEN("it is told twice") {
        for (const int time : {1, 2}) {
          CAPTURE(time);
          attempt.notify(0, 1);
          attempt.notify(1, 1);
        }
        THEN("that changes nothing") { CHECK(committed(disk) == records(0, 4)); }
      }
      AND_WHEN("it is aborted") {
        attempt.abort(0, 1);
        attempt.abort(1, 1);
        THEN("the lines go with the next one") {
          CHECK(committed_files(disk).empty());
          attempt.write();
          attempt.checkpoint(2);
          CHECK(committed(disk) == records(0, 5));
          CHECK(pending_count(disk) == 0);
        }
      }
    }
    WHEN("an ordinary savepoint is complete") {
      attempt.checkpoint(1, SnapshotKind::savepoint);
      THEN("it commits nothing, the next checkpoint does") {
        CHECK(committed_files(disk).empty());
        attempt.checkpoint(2);
        CHECK(committed(disk) == records(0, 4));
      }
    }
    WHEN("the savepoint that ends the job is complete") {
      attempt.checkpoint(1, SnapshotKind::terminal_savepoint);
      THEN("it commits") { CHECK(committed(disk) == records(0, 4)); }
    }
    WHEN("two checkpoints were taken and the older is complete") {
      attempt.freeze_subtask(0, barrier(1));
      attempt.freeze_subtask(1, barrier(1));
      attempt.write();
      attempt.freeze_subtask(0, barrier(2));
      attempt.freeze_subtask(1, barrier(2));
      attempt.notify(0, 1);
      attempt.notify(1, 1);
      THEN("what lies between them waits") { CHECK(committed(disk) == records(0, 4)); }
    }
    WHEN("an older checkpoint is complete when the barrier of the next is about to pass") {
      attempt.freeze_subtask(0, barrier(1));
      attempt.write();
      attempt.before_barrier(0, barrier(2));
      attempt.notify(0, 1);
      THEN("it commits nothing of the next one") {
        CHECK(committed(disk) == std::vector<int>{0, 2});
      }
    }
    WHEN("nothing is written between two checkpoints") {
      attempt.checkpoint(1);
      const auto before = disk.contents();
      const Completed second = attempt.checkpoint(2);
      THEN("there is no new file, and the state is empty") {
        CHECK(disk.contents() == before);
        for (const auto& part : second.states.subtasks) CHECK(part.frozen.front().offsets.empty());
      }
    }
  }
}

TEST_CASE("a file sink is exactly-once wherever its process or machine stops", "[connectors]") {
  for (std::uint32_t before = 1; before <= 4; ++before) {
    for (std::uint32_t after = 1; after <= 4; ++after) {
      for (const bool machine : {false, true}) {
        bool stopped = true;
        for (std::size_t stop_at = 1; stopped; ++stop_at) {
          CAPTURE(before, after, machine, stop_at);
          const auto disk = std::make_shared<SimulatedDisk>();
          Surroundings around;
          std::optional<Completed> recovery;
          stopped = false;
          {
            SimulatedFileSystem files(disk);
            SinkAttempt attempt(files, around, before, recovery);
            run_story(attempt, recovery, [&, steps = std::size_t{0}]() mutable {
              stopped = ++steps == stop_at;
              return !stopped;
            });
          }
          if (machine) disk->lose_unsynced();
          // What is visible belongs to a completed checkpoint, and stays.
          const int recovered = recovery ? recovery->next_record : 0;
          for (const int record : committed(*disk)) CHECK(record < recovered);
          const auto kept = committed_files(*disk);
          SimulatedFileSystem files(disk);
          SinkAttempt attempt(files, around, after, recovery);
          attempt.open_all();
          CHECK(committed(*disk) == records(0, recovered));
          CHECK(pending_count(*disk) == 0);
          attempt.finish(100);
          REQUIRE(committed(*disk) == records(0, record_count));
          CHECK(pending_count(*disk) == 0);
          const auto contents = disk->contents();
          for (const auto& [path, content] : kept) CHECK(contents.at(path) == content);
        }
      }
    }
  }
}

TEST_CASE("a file sink is exactly-once whichever call of the file system fails", "[connectors]") {
  using enum Fault;
  for (const auto fault : {io_error, no_space, short_write, reported_failed, half_renamed}) {
    for (const std::uint32_t parallelism : {1, 3}) {
      bool failed = true;
      for (std::size_t call = 1; failed; ++call) {
        CAPTURE(to_string(fault), parallelism, call);
        const auto disk = std::make_shared<SimulatedDisk>();
        Surroundings around;
        std::optional<Completed> recovery;
        failed = false;
        // The same call fails in a new job and in each of two restarts.
        for (int round = 0; round < 3; ++round) {
          SimulatedFileSystem files(disk);
          disk->inject({fault, call});
          SinkAttempt attempt(files, around, parallelism, recovery);
          try {
            if (round == 0) {
              run_story(attempt, recovery, [] { return true; });
            } else {
              attempt.open_all();
            }
          } catch (const OperatorError& thrown) {
            failed = failed || round == 0;
            CHECK(thrown.error().code == Errc::io_error);
            CHECK(thrown.error().what.find(directory) != std::string::npos);
          }
        }
        disk->heal();
        disk->lose_unsynced();
        SimulatedFileSystem files(disk);
        SinkAttempt attempt(files, around, parallelism, recovery);
        attempt.open_all();
        attempt.finish(100);
        REQUIRE(committed(*disk) == records(0, record_count));
        CHECK(pending_count(*disk) == 0);
      }
    }
  }
}

SCENARIO("a file sink looks at its directory before it begins", "[connectors]") {
  SimulatedFileSystem files;
  SimulatedDisk& disk = files.disk();
  Surroundings around;
  const auto opened = [&](const std::optional<Completed>& from, const std::string& uid = "sink") {
    SinkAttempt attempt(files, around, 2, from, uid);
    try {
      attempt.open_all();
    } catch (const OperatorError& thrown) {
      return thrown.error();
    }
    return Error{Errc::io_error, ""};
  };
  GIVEN("a directory that does not exist") {
    THEN("it is made, and nothing is in it before the first line") {
      CHECK(opened({}).what.empty());
      CHECK(files.list(directory)->empty());
    }
  }
  GIVEN("a directory with committed files") {
    std::optional<Completed> from;
    {
      SinkAttempt attempt(files, around, 2, std::nullopt);
      attempt.open_all();
      for (int i = 0; i < 4; ++i) attempt.write();
      from = attempt.checkpoint(1);
    }
    WHEN("a new job wants to write there") {
      const Error refusal = opened({});
      THEN("it is refused with what to do, and nothing has changed") {
        CHECK(refusal.code == Errc::already_exists);
        CHECK(refusal.what.find(directory) != std::string::npos);
        CHECK(refusal.what.ends_with(": give an empty one"));
        CHECK(committed(disk) == records(0, 4));
      }
    }
    WHEN("the job goes on from its snapshot") {
      THEN("it is welcome") { CHECK(opened(from).what.empty()); }
    }
    WHEN("a file that the snapshot holds is gone") {
      disk.erase(committed_files(disk).begin()->first);
      const Error refusal = opened(from);
      THEN("the job does not go on without it") {
        CHECK(refusal.code == Errc::corruption);
        CHECK(refusal.what.find(" is gone") != std::string::npos);
      }
    }
    WHEN("a file that the snapshot holds is shorter") {
      disk.put(committed_files(disk).begin()->first, "0");
      THEN("the job does not go on with it") { CHECK(opened(from).code == Errc::corruption); }
    }
  }
  GIVEN("a file that waits for its checkpoint and was changed meanwhile") {
    SinkAttempt attempt(files, around, 1, std::nullopt);
    attempt.open_all();
    attempt.write();
    attempt.freeze_subtask(0, barrier(1));
    disk.put(disk.contents().begin()->first, "0\n0\n");
    THEN("it is not committed") {
      CHECK(opened(attempt.taken()).code == Errc::corruption);
      CHECK(committed_files(disk).empty());
    }
  }
  GIVEN("files that are none of its own") {
    const std::vector<std::string> foreign = {
        "/out/.hidden",
        "/out/" + pending_file_name(output_file_name("other", 0, 1, some_job, 7)),
        "/out/" + pending_file_name(output_file_name("sink-1", 0, 1, some_job, 7)),
        "/out/.weir-sink-0-1.pending",
    };
    for (const auto& path : foreign) disk.put(path, "1\n");
    const std::string left =
        "/out/" + pending_file_name(output_file_name("sink", 5, 1, some_job, 7));
    disk.put(left, "1\n");
    CHECK(opened({}).what.empty());
    THEN("only what an earlier attempt left is removed") {
      const auto contents = disk.contents();
      for (const auto& path : foreign) CHECK(contents.contains(path));
      CHECK_FALSE(contents.contains(left));
    }
  }
  GIVEN("a directory in which nothing can be written") {
    disk.refuse(directory);
    THEN("it says so before the first line") {
      const Error refusal = opened({});
      CHECK(refusal.code == Errc::io_error);
      CHECK(refusal.what.starts_with("output directory /out cannot be written"));
    }
  }
  GIVEN("a rename that left both names") {
    std::optional<Completed> from;
    {
      SinkAttempt attempt(files, around, 1, std::nullopt);
      attempt.open_all();
      attempt.write();
      attempt.freeze_subtask(0, barrier(1));
      from = attempt.taken();
      disk.inject({Fault::half_renamed});
      CHECK_THROWS_AS(attempt.notify(0, 1), OperatorError);
    }
    REQUIRE(pending_count(disk) == 1);
    THEN("the restore takes it for committed and removes the other name") {
      CHECK(opened(from).what.empty());
      CHECK(committed(disk) == records(0, 1));
      CHECK(pending_count(disk) == 0);
    }
  }
}

TEST_CASE("a snapshot knows the files of its past and no others", "[connectors]") {
  const std::string name = output_file_name("sink", 0, 1, some_job, 7);
  const auto unknown = [&](const std::string& file, std::vector<CommittedUpTo> history) {
    return is_unknown_file_of(file, "sink", history);
  };
  CHECK_FALSE(unknown(committed_file_name(name, {3}), {{some_job, {3}}}));
  CHECK_FALSE(unknown(committed_file_name(name, {3}), {{{5, 5}, {1}}, {some_job, {9}}}));
  CHECK(unknown(committed_file_name(name, {4}), {{some_job, {3}}}));
  CHECK(unknown(committed_file_name(name, {3}), {{{5, 5}, {9}}}));
  for (const std::string& foreign :
       {name, name + "-", name + "-x", name + "-3-3", name + "3", pending_file_name(name),
        std::string("sink-0-1-00000000000000ab"), std::string("other")})
    CHECK_FALSE(unknown(foreign, {}));
}

SCENARIO("a snapshot is not restored beside output that it does not know", "[connectors]") {
  SimulatedFileSystem files;
  SimulatedDisk& disk = files.disk();
  Surroundings around;
  GIVEN("a job that went on after a savepoint") {
    std::optional<Completed> savepoint;
    std::optional<Completed> newest;
    {
      SinkAttempt attempt(files, around, 2, std::nullopt);
      attempt.open_all();
      attempt.write();
      attempt.checkpoint(1);
      attempt.write();
      savepoint = attempt.checkpoint(2, SnapshotKind::savepoint);
      newest = savepoint;
    }
    const auto restore = [&](const std::optional<Completed>& from, JobId job, std::uint64_t id) {
      SinkAttempt attempt(files, around, 2, from, "sink", job);
      attempt.open_all();
      attempt.write();
      newest = attempt.checkpoint(id);
    };
    const JobId second{7, 7};
    WHEN("the savepoint is restored into the same directory") {
      restore(savepoint, second, 3);
      THEN("the lines go on behind it") { CHECK(committed(disk) == records(0, 3)); }
      THEN("the new job goes on from its own checkpoints, too") {
        restore(newest, second, 4);
        restore(newest, {8, 8}, 5);
        CHECK(committed(disk) == records(0, 5));
      }
      THEN("a second time it is refused, and nothing has changed") {
        const auto before = disk.contents();
        const Error refusal = thrown_by([&] { restore(savepoint, {8, 8}, 3); });
        CHECK(refusal.code == Errc::already_exists);
        CHECK(refusal.what.starts_with(
            "output directory /out holds files that the snapshot does not know, such as sink-"));
        CHECK(disk.contents() == before);
      }
    }
    WHEN("the job goes on from a later checkpoint and the savepoint is restored then") {
      restore(savepoint, some_job, 3);
      THEN("it is refused") {
        CHECK(thrown_by([&] { restore(savepoint, second, 4); }).code == Errc::already_exists);
      }
    }
  }
}

TEST_CASE("two file sinks may share a directory", "[connectors]") {
  SimulatedFileSystem files;
  SimulatedDisk& disk = files.disk();
  Surroundings around;
  SinkAttempt one(files, around, 2, std::nullopt, "sink");
  SinkAttempt other(files, around, 2, std::nullopt, "sink-0");
  one.open_all();
  other.open_all();
  one.write();
  other.write();
  const std::optional<Completed> from = one.checkpoint(1);
  other.freeze_subtask(0, barrier(1));
  SinkAttempt again(files, around, 2, from, "sink");
  again.open_all();
  CHECK(pending_count(disk) == 1);  // of the other
  CHECK(committed(disk) == records(0, 1));
}

TEST_CASE("a restored sink commits where the files lie, and writes where it is told",
          "[connectors]") {
  SimulatedFileSystem files;
  SimulatedDisk& disk = files.disk();
  Surroundings around;
  FakeContext context(files, around, "sink", 0, 1);
  FileSink<int, Format> before("/old/", Format{});
  REQUIRE(before.open(context));
  Batch<int> batch;
  batch.add(7);
  Cursor cursor{0, 1};
  before.on_batch(0, batch, cursor);
  (void)before.before_barrier(barrier(1));
  REQUIRE(before.snapshot_state(barrier(1)));
  FakeContext restored(files, around, "sink", 0, 1);
  restored.restored = true;
  restored.operator_state().restore(deal({{freeze(context)}}, 0, 1));
  FileSink<int, Format> after("/new", Format{});
  REQUIRE(after.open(restored));
  REQUIRE(disk.contents().size() == 1);
  CHECK(disk.contents().begin()->first.starts_with("/old/sink-0-1-"));
  CHECK(disk.contents().begin()->second == "7\n");
}

TEST_CASE("long lines and large files reach the file whole", "[connectors]") {
  SimulatedFileSystem files;
  SimulatedDisk& disk = files.disk();
  Surroundings around;
  FakeContext context(files, around, "sink", 0, 1);
  const auto format = [](const std::string& line) -> const std::string& { return line; };
  FileSink<std::string, decltype(format)> sink(directory, format);
  REQUIRE(sink.open(context));
  std::string expected;
  for (std::size_t i = 0; i < 50; ++i) {
    Batch<std::string> batch;
    batch.add(std::string(i * 5000, 'a'));
    expected += batch.values.front() + "\n";
    Cursor cursor{0, 1};
    sink.on_batch(0, batch, cursor);
  }
  (void)sink.before_barrier(barrier(1));
  REQUIRE(sink.snapshot_state(barrier(1)));
  REQUIRE(sink.notify_checkpoint_complete({1}, SnapshotKind::checkpoint));
  CHECK(committed_files(disk).begin()->second == expected);
}

TEST_CASE("output files are named after their operator, whatever its uid", "[connectors]") {
  CHECK(output_file_name("words", 2, 3, some_job, 0xab0000) ==
        "words-2-3-0123456789ab-0000000000ab");
  CHECK(committed_file_name("words-2-3-0123456789ab-0000000000ab", {17}) ==
        "words-2-3-0123456789ab-0000000000ab-17");
  CHECK(output_file_name("a/b c", 0, 1, {}, 0) == "a%2fb%20c-0-1-000000000000-000000000000");
  CHECK(output_file_name(".x.y", 0, 1, {}, 0) == "%2ex.y-0-1-000000000000-000000000000");
  CHECK(output_file_name(std::string(300, 'a') + "1", 0, 1, {}, 0) !=
        output_file_name(std::string(300, 'a') + "2", 0, 1, {}, 0));
  CHECK(pending_file_name(output_file_name(std::string(300, '/'), 4'000'000'000, ~0ull, {}, 0))
            .size() < 255);
  for (const std::string uid : {"", "a", "a-1", "a-1-2", "/", "%2f", "é"}) {
    for (const std::string other : {"", "a", "a-1", "a-1-2", "/", "%2f", "é"}) {
      CAPTURE(uid, other);
      const std::string name = output_file_name(uid, 1, 2, some_job, 3);
      CHECK(is_pending_file_of(pending_file_name(name), other) == (uid == other));
      CHECK(is_unknown_file_of(committed_file_name(name, {4}), other, {}) == (uid == other));
    }
    CHECK_FALSE(is_pending_file_of(output_file_name(uid, 1, 2, some_job, 3), uid));
  }
}

}  // namespace
}  // namespace weir
