#include "runtime/configuration.hpp"

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include <catch2/catch.hpp>

#include "runtime/nearest.hpp"

namespace weir {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

/// What `set` says of a setting from the command line; empty if it is accepted.
std::string refusal(std::string_view key, std::string_view text) {
  Configuration configuration;
  const Status status = configuration.set(key, text, "-D");
  if (status) return {};
  CHECK(status.error().code == Errc::invalid_argument);
  CHECK(configuration.as_map().empty());
  return status.error().what;
}

Configuration with(const std::map<std::string, std::string>& settings) {
  auto configuration = Configuration::from_map(settings, "test");
  INFO((configuration ? "" : configuration.error().what));
  REQUIRE(configuration);
  return *configuration;
}

}  // namespace

SCENARIO("without settings every key has Flink's default, or the one that issue 3 asks for",
         "[runtime]") {
  GIVEN("no settings") {
    const Configuration configuration;
    THEN("the settings agree with each other and none counts as set") {
      CHECK(configuration.check());
      CHECK(configuration.as_map().empty());
      CHECK_FALSE(configuration.is_set("state.backend"));
    }
    THEN("checkpoints are off, exactly once, one at a time, ten minutes long") {
      const CheckpointConfig config = configuration.checkpoint_config();
      CHECK_FALSE(config.interval);
      CHECK(config.mode == Alignment::exactly_once);
      CHECK(config.timeout == 10min);
      CHECK(config.min_pause == 0ms);
      CHECK(config.max_concurrent == 1);
      CHECK_FALSE(config.tolerable_failed);
      CHECK(config.num_retained == 1);
      CHECK(config.retention == CheckpointRetention::no_externalized_checkpoints);
    }
    THEN("state is in memory and no directory is set") {
      CHECK(configuration.state_backend().kind == StateBackendKind::jobmanager);
      CHECK(configuration.state_backend().inline_threshold_bytes == 20 * 1024);
      CHECK(configuration.state_backend().rocksdb_memory_bytes == 512 << 20);
      CHECK(configuration.state_backend().rocksdb_table_ratio == 0.5);
      CHECK(configuration.directories() == DirectoryConfig{});
    }
    THEN("jobs and processes have theirs") {
      const ExecutionConfig& execution = configuration.execution();
      CHECK(execution.job_name.empty());
      CHECK(execution.parallelism == 1);
      CHECK_FALSE(execution.max_parallelism);
      CHECK(execution.buffer_timeout == 5ms);
      CHECK(execution.channel_bytes == 256 * 1024);
      CHECK(execution.cancellation_timeout == 180s);
      const ProcessConfig& process = configuration.process();
      CHECK_FALSE(process.task_slots);
      CHECK(process.io_threads == 4);
      CHECK(process.heartbeat_interval == 1s);  // it carries the counters, so oftener than Flink
      CHECK(process.heartbeat_timeout == 50s);
      CHECK(process.client_timeout == 60s);
    }
  }
}

SCENARIO("a job restarts by itself only if there are checkpoints to restart from", "[runtime]") {
  GIVEN("no restart strategy") {
    WHEN("there is no checkpoint interval") {
      THEN("a failure is final") {
        CHECK(std::holds_alternative<NoRestartConfig>(Configuration().restart_strategy()));
      }
    }
    WHEN("there is one") {
      const auto strategy = with({{"execution.checkpointing.interval", "1 s"}}).restart_strategy();
      THEN("the delay grows from one second to sixty, without end") {
        const auto expected = ExponentialDelayConfig{1s, 60s, 1.5, 1h, 0.1, std::nullopt};
        REQUIRE(std::holds_alternative<ExponentialDelayConfig>(strategy));
        CHECK(std::get<ExponentialDelayConfig>(strategy) == expected);
      }
    }
  }
  GIVEN("a restart strategy") {
    const std::map<std::string, std::string> interval = {
        {"execution.checkpointing.interval", "1 s"}};
    THEN("it is taken, interval or not") {
      auto settings = interval;
      settings["restart-strategy"] = "none";
      CHECK(std::holds_alternative<NoRestartConfig>(with(settings).restart_strategy()));
      settings["restart-strategy"] = "auto";
      CHECK(std::holds_alternative<ExponentialDelayConfig>(with(settings).restart_strategy()));
      const auto fixed = with({{"restart-strategy.type", "fixeddelay"},
                               {"restart-strategy.fixed-delay.attempts", "3"},
                               {"restart-strategy.fixed-delay.delay", "250ms"}});
      CHECK(fixed.restart_strategy() == RestartStrategyConfig(FixedDelayConfig{3, 250ms}));
      const auto rate = with({{"restart-strategy", "failure-rate"}});
      CHECK(rate.restart_strategy() == RestartStrategyConfig(FailureRateConfig{1, 1min, 1s}));
    }
  }
}

TEST_CASE("durations are written as in Flink", "[runtime]") {
  const auto timeout = [](std::string_view text) {
    Configuration configuration;
    REQUIRE(configuration.set("execution.checkpointing.timeout", text, "-D"));
    return configuration.checkpoint_config().timeout;
  };
  CHECK(timeout("1234") == 1234ms);
  CHECK(timeout("500ms") == 500ms);
  CHECK(timeout("500 milliseconds") == 500ms);
  CHECK(timeout("1 s") == 1s);
  CHECK(timeout("  2 sec ") == 2s);
  CHECK(timeout("10 min") == 10min);
  CHECK(timeout("10m") == 10min);
  CHECK(timeout("3 H") == 3h);
  CHECK(timeout("2 days") == 48h);
  for (const auto* bad : {"", "s", "-1 s", "1.5 s", "1 parsec", "1 s s", "0", "1e3", "0x10",
                          "99999999999999999999", "9999999999 d", "1 us"}) {
    INFO(bad);
    CHECK(refusal("execution.checkpointing.timeout", bad) ==
          "-D: '" + std::string(bad) +
              "' is no value for execution.checkpointing.timeout; expected is a duration, at least "
              "1 ms (in ms, s, min, h or d, such as 500 ms or 5 min)");
  }
}

TEST_CASE("memory sizes are written as in Flink, in steps of 1024", "[runtime]") {
  const auto bytes = [](std::string_view text) {
    Configuration configuration;
    REQUIRE(configuration.set("state.backend.rocksdb.memory.fixed-per-tm", text, "-D"));
    return configuration.state_backend().rocksdb_memory_bytes;
  };
  CHECK(bytes("1048576") == 1 << 20);
  CHECK(bytes("1048577b") == (1 << 20) + 1);
  CHECK(bytes("2048 kb") == 2 << 20);
  CHECK(bytes("64 mb") == 64 << 20);
  CHECK(bytes("64MB") == 64 << 20);
  CHECK(bytes("1g") == 1 << 30);
  CHECK(bytes("2 tebibytes") == std::uint64_t{2} << 40);
  CHECK(
      refusal("state.backend.rocksdb.memory.fixed-per-tm", "1 kb") ==
      "-D: '1 kb' is no value for state.backend.rocksdb.memory.fixed-per-tm; expected is a memory "
      "size, at least 1 mb (in b, kb, mb, gb or tb, such as 64 kb or 1 gb)");
  CHECK_FALSE(refusal("state.backend.fs.memory-threshold", "2 mb").empty());
  CHECK_FALSE(refusal("state.backend.fs.memory-threshold", "many").empty());
  CHECK_FALSE(refusal("state.backend.fs.memory-threshold", "17000000 tb").empty());
}

TEST_CASE("numbers are kept within their range", "[runtime]") {
  CHECK(with({{"parallelism.default", "32768"}}).execution().parallelism == 32768);
  for (const auto* bad : {"0", "32769", "-1", "two", "1.5", "4294967297", ""}) {
    INFO(bad);
    CHECK(refusal("parallelism.default", bad) ==
          "-D: '" + std::string(bad) +
              "' is no value for parallelism.default; expected is a whole number, 1 to 32768");
  }
  CHECK_FALSE(refusal("state.checkpoints.num-retained", "0").empty());
  CHECK_FALSE(refusal("execution.checkpointing.interval", "0").empty());
  CHECK_FALSE(refusal("execution.checkpointing.max-concurrent-checkpoints", "0").empty());
  const auto* jitter = "restart-strategy.exponential-delay.jitter-factor";
  CHECK(refusal(jitter, "0.25").empty());
  for (const auto* bad : {"1.1", "-0.1", "nan", "inf", "1e-1", ".", "0.1.2"}) {
    INFO(bad);
    CHECK_FALSE(refusal(jitter, bad).empty());
  }
}

TEST_CASE("a setting that may be absent has a word for it, so that a later place can take it back",
          "[runtime]") {
  Configuration configuration;
  REQUIRE(configuration.set("execution.checkpointing.interval", "1 s", "weir.yaml:1:1"));
  REQUIRE(configuration.set("execution.checkpointing.interval", "None", "-D"));
  CHECK_FALSE(configuration.checkpoint_config().interval);
  const auto* tolerable = "execution.checkpointing.tolerable-failed-checkpoints";
  REQUIRE(configuration.set(tolerable, "0", "-D"));
  CHECK(configuration.checkpoint_config().tolerable_failed == 0U);
  REQUIRE(configuration.set(tolerable, "unlimited", "-D"));
  CHECK_FALSE(configuration.checkpoint_config().tolerable_failed);
  CHECK(refusal("taskmanager.numberOfTaskSlots", "all") ==
        "-D: 'all' is no value for taskmanager.numberOfTaskSlots; expected is a whole number, 1 to "
        "32768, or auto");
  REQUIRE(configuration.set("state.savepoints.dir", "/savepoints", "weir.yaml:2:1"));
  REQUIRE(configuration.set("state.savepoints.dir", "", "-D"));
  CHECK(configuration.directories().savepoints.empty());
}

TEST_CASE("words of a choice are read without regard to case, hyphen and underscore", "[runtime]") {
  const auto kind = [](std::string text) {
    return with({{"state.backend", std::move(text)}}).state_backend().kind;
  };
  CHECK(kind("memory") == StateBackendKind::jobmanager);
  CHECK(kind("jobmanager") == StateBackendKind::jobmanager);
  CHECK(kind("fs") == StateBackendKind::filesystem);
  CHECK(kind("filesystem") == StateBackendKind::filesystem);
  CHECK(kind("hashmap") == StateBackendKind::filesystem);
  CHECK(kind("RocksDB") == StateBackendKind::rocksdb);
  CHECK(with({{"execution.checkpointing.mode", "at-least-once"}}).checkpoint_config().mode ==
        Alignment::at_least_once);
  CHECK(refusal("state.backend", "rocksdbb") ==
        "-D: 'rocksdbb' is no value for state.backend; expected is jobmanager, memory, filesystem, "
        "fs, hashmap or rocksdb; did you mean 'rocksdb'?");
}

SCENARIO("an unknown key is refused with the nearest known one", "[runtime]") {
  CHECK(refusal("execution.checkpointing.intervall", "1 s") ==
        "-D: 'execution.checkpointing.intervall' is no configuration key; did you mean "
        "'execution.checkpointing.interval'?");
  CHECK(refusal("state.bakcend", "rocksdb") ==
        "-D: 'state.bakcend' is no configuration key; did you mean 'state.backend'?");
  CHECK(refusal("akka.client.timeot", "1 s") ==
        "-D: 'akka.client.timeot' is no configuration key; did you mean 'akka.client.timeout'?");
  // Two that Flink has, and whose neighbours here are something else.
  for (const std::string key :
       {"execution.checkpointing.unaligned", "taskmanager.memory.process.size"})
    CHECK(refusal(key, "1") ==
          "-D: '" + key + "' is no configuration key; docs/configuration.md lists the keys");
  CHECK(refusal("", "1") == "-D: '' is no configuration key; docs/configuration.md lists the keys");
}

SCENARIO("deprecated names set the key that replaced them", "[runtime]") {
  GIVEN("settings with the names of Flink 1.1 and of Flink 2") {
    const auto configuration = with({{"state.backend.fs.checkpointdir", "/checkpoints"},
                                     {"savepoints.state.backend.fs.dir", "/savepoints"},
                                     {"state.backend.type", "rocksdb"}});
    THEN("they are known by the key that Weir uses") {
      CHECK(configuration.as_map() ==
            std::map<std::string, std::string>{{"state.checkpoints.dir", "/checkpoints"},
                                               {"state.savepoints.dir", "/savepoints"},
                                               {"state.backend", "rocksdb"}});
      CHECK(configuration.is_set("state.checkpoints.dir"));
      CHECK(configuration.directories().savepoints == "/savepoints");
    }
  }
  GIVEN("a key and its deprecated name, one after the other") {
    Configuration configuration;
    REQUIRE(configuration.set("client.timeout", "10 s", "weir.yaml:1:1"));
    REQUIRE(configuration.set("akka.client.timeout", "20 s", "-D"));
    THEN("the later one wins") { CHECK(configuration.process().client_timeout == 20s); }
  }
}

SCENARIO("later settings win, and a refused one changes nothing", "[runtime]") {
  GIVEN("a file's settings and the job's") {
    auto file = with({{"parallelism.default", "2"}, {"client.timeout", "5 s"}});
    const auto job = with({{"parallelism.default", "4"}, {"pipeline.name", "counts"}});
    WHEN("the job's are laid over the file's") {
      file.merge(job);
      THEN("the job's win and the file's others stay") {
        CHECK(file.execution().parallelism == 4);
        CHECK(file.execution().job_name == "counts");
        CHECK(file.process().client_timeout == 5s);
      }
      THEN("they travel as a map and arrive as they were") {
        const auto arrived = Configuration::from_map(file.as_map(), "message");
        REQUIRE(arrived);
        CHECK(arrived->as_map() == file.as_map());
        CHECK(arrived->execution() == file.execution());
      }
    }
    WHEN("a bad value follows") {
      CHECK_FALSE(file.set("parallelism.default", "none", "-D"));
      THEN("the earlier one is still there") {
        CHECK(file.execution().parallelism == 2);
        CHECK(file.as_map().at("parallelism.default") == "2");
      }
    }
  }
  GIVEN("a map with a key that this version does not know") {
    const auto arrived = Configuration::from_map({{"state.backned", "fs"}}, "message");
    THEN("it is refused with its origin") {
      REQUIRE_FALSE(arrived);
      CHECK_THAT(arrived.error().what, Catch::StartsWith("message: 'state.backned'"));
    }
  }
}

SCENARIO("directories are made absolute at one call", "[runtime]") {
  GIVEN("two directories, one of them relative") {
    auto configuration = with({{"state.checkpoints.dir", "data/chk"},
                               {"state.savepoints.dir", ""},
                               {"pipeline.name", "data"},
                               {"io.tmp.dirs", "/tmp"}});
    WHEN("they are resolved") {
      const Status status =
          configuration.resolve_directories([](std::string_view text) -> Result<std::string> {
            return text.starts_with('/') ? std::string(text) : "/home/ada/" + std::string(text);
          });
      THEN("the relative one is absolute, here and in messages, and nothing else has changed") {
        REQUIRE(status);
        CHECK(configuration.directories().checkpoints == "/home/ada/data/chk");
        CHECK(configuration.as_map().at("state.checkpoints.dir") == "/home/ada/data/chk");
        CHECK(configuration.directories().savepoints.empty());
        CHECK(configuration.directories().temporary == "/tmp");
        CHECK(configuration.execution().job_name == "data");
      }
    }
    WHEN("one of them is refused") {
      const Status status =
          configuration.resolve_directories([](std::string_view) -> Result<std::string> {
            return error(Errc::unsupported, "no such scheme");
          });
      THEN("the error is a bad value, with its place and key") {
        REQUIRE_FALSE(status);
        CHECK(status.error() == Error{Errc::invalid_argument, "test: io.tmp.dirs: no such scheme"});
      }
    }
  }
  THEN("a line break in one is refused at once") {
    CHECK_FALSE(refusal("state.checkpoints.dir", "/a\n/b").empty());
    CHECK_FALSE(refusal("pipeline.name", "a\nb").empty());
  }
}

SCENARIO("settings that contradict each other are refused with both and how to mend it",
         "[runtime]") {
  const auto complaint = [](const std::map<std::string, std::string>& settings) {
    const Status status = with(settings).check();
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::invalid_argument);
    return status.error().what;
  };
  CHECK(complaint({{"parallelism.default", "8"}, {"pipeline.max-parallelism", "4"}}) ==
        "parallelism.default = 8 (test) is above pipeline.max-parallelism = 4 (test); lower the "
        "first or raise the second");
  CHECK(complaint({{"heartbeat.interval", "50 s"}}) ==
        "heartbeat.timeout = 50 s (the default) is not above heartbeat.interval = 50 s (test); "
        "raise the first to several times the second");
  CHECK_THAT(complaint({{"restart-strategy.exponential-delay.initial-backoff", "2 min"}}),
             Catch::Contains("is above restart-strategy.exponential-delay.max-backoff = 60 s"));
  const auto* retention = "execution.checkpointing.externalized-checkpoint-retention";
  CHECK_THAT(complaint({{retention, "RETAIN_ON_CANCELLATION"}}),
             Catch::EndsWith("set state.checkpoints.dir"));
  CHECK(with({{retention, "RETAIN_ON_CANCELLATION"}, {"state.checkpoints.dir", "/chk"}}).check());
}

TEST_CASE("an interval shorter than the minimum pause is raised to it", "[runtime]") {
  const auto config = with({{"execution.checkpointing.interval", "1 s"},
                            {"execution.checkpointing.min-pause", "5 s"}})
                          .checkpoint_config();
  CHECK(config.interval == milliseconds(5s));
}

TEST_CASE("every name of a key is used once, and every key is in the documentation", "[runtime]") {
  const std::vector<std::string_view> keys = configuration_keys();
  CHECK(std::set(keys.begin(), keys.end()).size() == keys.size());
  const std::string reference = configuration_reference();
  for (const std::string_view key : keys) {
    INFO(key);
    CHECK(canonical_key(key).value() == key);
    CHECK_THAT(reference, Catch::Contains("\n| `" + std::string(key) + "` | "));
  }
  CHECK(canonical_key("state.backend.rocksdb.checkpointdir").value() ==
        "state.backend.rocksdb.localdir");
}

namespace {

std::string documentation_path() {
  const char* root = std::getenv("WEIR_SOURCE_ROOT");
  INFO("WEIR_SOURCE_ROOT must name the source directory; `./dev test` sets it");
  REQUIRE(root != nullptr);
  return std::string(root) + "/docs/configuration.md";
}

}  // namespace

TEST_CASE("docs/configuration.md is what the table of keys says", "[runtime]") {
  std::ifstream file(documentation_path(), std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  INFO("to write it anew, run this program with '[.write-documentation]'");
  CHECK(text.str() == configuration_reference());
}

TEST_CASE("writes docs/configuration.md", "[.write-documentation]") {
  std::ofstream file(documentation_path(), std::ios::binary);
  file << configuration_reference();
  CHECK(file.flush());
}

TEST_CASE("the edit distance counts a swap of neighbours as one slip", "[runtime]") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("savepoint", "savepoint") == 0);
  CHECK(edit_distance("savepiont", "savepoint") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("ca", "abc") == 3);  // restricted: no part is edited twice
}

TEST_CASE("the nearest word is named, the first of equals, and guessed only after a slip",
          "[runtime]") {
  const std::vector<std::string_view> verbs = {"run", "list", "cancel", "stop", "savepoint"};
  CHECK(nearest("cancle", verbs) == "cancel");
  CHECK(nearest("", verbs) == "run");
  CHECK(nearest("run", {}).empty());
  CHECK(did_you_mean("cancle", verbs) == "; did you mean 'cancel'?");
  CHECK(did_you_mean("rnu", verbs) == "; did you mean 'run'?");
  CHECK(did_you_mean("rxx", verbs).empty());
  CHECK(did_you_mean("frobnicate", verbs).empty());
  CHECK(did_you_mean("frobnicate", verbs, "they are listed") == "; they are listed");
  CHECK(did_you_mean("run", {}).empty());
}

}  // namespace weir
