#include "api/plan_builder.hpp"

#include <functional>

#include <catch2/catch.hpp>

#include "api/stream_environment.hpp"

namespace weir {
namespace {

/// A record without description: it never leaves its task.
struct Undescribed {
  long value = 0;
};

Result<Plan> build(const std::function<void(StreamEnvironment&)>& job,
                   std::uint32_t parallelism = 2) {
  StreamEnvironment env({}, parallelism, "/home/job");
  job(env);
  return env.build();
}
std::string sentence(const std::function<void(StreamEnvironment&)>& job) {
  const auto plan = build(job);
  if (plan) return {};
  CHECK(plan.error().code == Errc::invalid_argument);
  return plan.error().what;
}
DataStream<long> numbers(StreamEnvironment& env) {
  return env.generate(10, [](std::uint64_t i) { return static_cast<long>(i); });
}
const auto collected = std::make_shared<Collected<long>>();
const auto same = [](long value) { return value; };

TEST_CASE("a plan has the operators, names and parallelisms that the job gave", "[api]") {
  const auto plan = build([](StreamEnvironment& env) {
    env.set_max_parallelism(64);
    numbers(env)
        .uid("numbers")
        .name("my numbers")
        .map(same)
        .set_parallelism(2)
        .set_max_parallelism(32);
    numbers(env)
        .key_by(same)
        .reduce([](long a, long b) { return a + b; })
        .uid("sum")
        .collect(collected)
        .uid("out")
        .name("my output")
        .set_parallelism(3);
  });
  REQUIRE(plan);
  const PlanDescription description = plan->describe();
  REQUIRE(description.operators.size() == 5);
  const auto& [source, map, second, sum, out] =
      std::tie(description.operators[0], description.operators[1], description.operators[2],
               description.operators[3], description.operators[4]);
  CHECK(source.uid == "numbers");
  CHECK_FALSE(source.generated_uid);
  CHECK(source.name == "my numbers");
  CHECK(source.source);
  CHECK(source.stateful);
  CHECK(source.parallelism == 2);
  CHECK(source.max_parallelism == 64);
  CHECK(source.max_parallelism_set);
  CHECK(map.uid == "generated-1");
  CHECK(map.generated_uid);
  CHECK(map.name == "map");
  CHECK_FALSE(map.stateful);
  CHECK(map.max_parallelism == 32);
  CHECK(second.uid == "generated-2");
  CHECK(sum.stateful);
  CHECK(out.name == "my output");
  CHECK(out.parallelism == 3);
  REQUIRE(description.edges.size() == 3);
  CHECK(description.edges[0].partitioning == Partitioning::forward);
  CHECK(description.edges[1].partitioning == Partitioning::hash);
  CHECK(description.edges[1].schema == schema_of<long>());
  CHECK(description.edges[2].partitioning == Partitioning::rebalance);
}

TEST_CASE("without a maximum parallelism of the job's own the default is not binding", "[api]") {
  const auto plan = build([](StreamEnvironment& env) { numbers(env).collect(collected); });
  REQUIRE(plan);
  CHECK(plan->operators[0].description.max_parallelism == 128);
  CHECK_FALSE(plan->operators[0].description.max_parallelism_set);
}

TEST_CASE("the same job builds the same plan", "[api]") {
  const auto job = [](StreamEnvironment& env) {
    numbers(env)
        .rebalance()
        .map(same)
        .broadcast()
        .filter([](long) { return true; })
        .collect(collected);
  };
  CHECK(plan_hash(build(job)->describe()) == plan_hash(build(job)->describe()));
  CHECK(plan_hash(build(job)->describe()) != plan_hash(build(job, 3)->describe()));
}

TEST_CASE("every function that may keep state makes its operator stateful", "[api]") {
  struct Rich final : RichMapFunction<long, long> {
    long map(const long& value) override { return value; }
  };
  struct Process final : ProcessFunction<long, long> {
    void open(RuntimeContext& context) override {
      state = context.operator_list_state<long>("state");
    }
    void process_element(const long& value, Collector<long>& out) override { out.collect(value); }
    OperatorListState<long>* state = nullptr;
  };
  const auto plan = build([](StreamEnvironment& env) {
    numbers(env).map(Rich{}).process(Process{}).map(same).key_by(same).map_with_state<long>(
        [](long, long& count) { return ++count; });
  });
  REQUIRE(plan);
  CHECK(plan->operators[1].description.stateful);
  CHECK(plan->operators[2].description.stateful);
  CHECK_FALSE(plan->operators[3].description.stateful);
  CHECK(plan->operators[4].description.stateful);
}

TEST_CASE("a union feeds one operator from several streams, each in its own way", "[api]") {
  const auto plan = build([](StreamEnvironment& env) {
    const auto a = numbers(env);
    const auto b = numbers(env).set_parallelism(1);
    a.union_with(b, a.rebalance()).map(same).collect(collected);
  });
  REQUIRE(plan);
  const auto description = plan->describe();
  REQUIRE(description.edges.size() == 4);
  CHECK(description.edges[0].partitioning == Partitioning::forward);
  CHECK(description.edges[1].partitioning == Partitioning::rebalance);
  CHECK(description.edges[2].partitioning == Partitioning::rebalance);
  CHECK(build_job_graph(description).exchange_edges.size() == 3);
}

TEST_CASE("records without description stay in their task, or the job is told", "[api]") {
  const auto undescribed = [](StreamEnvironment& env) {
    return numbers(env).map([](long value) { return Undescribed{value}; });
  };
  CHECK(build([&](StreamEnvironment& env) {
    undescribed(env).map([](Undescribed one) { return one.value; }).collect(collected);
  }));
  CHECK(sentence([&](StreamEnvironment& env) {
          undescribed(env)
              .map([](Undescribed one) { return one.value; })
              .name("values")
              .set_parallelism(1)
              .collect(collected);
        }) ==
        "the records from operator 'map' to 'values' go from task to task and are not described; "
        "describe their type with WEIR_FIELDS, or give both operators one parallelism");
}

TEST_CASE("records that cannot be copied have one consumer, or the job is told", "[api]") {
  const auto boxed = [](StreamEnvironment& env) {
    return numbers(env).map([](long value) { return std::make_unique<long>(value); }).name("boxes");
  };
  const auto unbox = [](std::unique_ptr<long> box) { return *box; };
  CHECK(build([&](StreamEnvironment& env) {
    boxed(env).filter([](const auto& box) { return *box > 1; }).map(unbox).collect(collected);
  }));
  CHECK(sentence([&](StreamEnvironment& env) {
          const auto stream = boxed(env);
          stream.map(unbox).collect(collected);
          stream.map(unbox).collect(collected);
        }) ==
        "the records of operator 'boxes' cannot be copied and have several consumers; give them "
        "one, or make their type copyable");
}

TEST_CASE("what is wrong with a plan is told when it is built", "[api]") {
  CHECK(sentence([](StreamEnvironment&) {}) ==
        "the job has no operator; begin with a source such as env.read_text(...)");
  CHECK(sentence([](StreamEnvironment& env) {
          numbers(env).uid("x").map(same).uid("x").collect(collected);
        }) ==
        "two operators have the uid 'x': 'generator' and 'map'; give each a uid(...) of its own");
  CHECK(sentence([](StreamEnvironment& env) {
          numbers(env).set_parallelism(0);
        }).ends_with("has the parallelism 0; set one of at least 1"));
  CHECK(sentence([](StreamEnvironment& env) {
          numbers(env).set_max_parallelism(1);
        }).find("above its maximum parallelism of 1") != std::string::npos);
  CHECK(sentence([](StreamEnvironment& env) {
          numbers(env).set_max_parallelism(40'000);
        }).find("set one from 1 to 32768") != std::string::npos);
  CHECK(sentence([](StreamEnvironment& env) {
          (void)env.parameters().required("input");
          numbers(env).set_parallelism(0);
        }) == "the job needs --input VALUE");
}

TEST_CASE("sources of one subtask have one, and paths are absolute", "[api]") {
  const auto plan = build([](StreamEnvironment& env) {
    (void)env.from_collection<long>({1, 2});
    (void)env.read_standard_input();
    (void)env.read_text({"in.txt"});
  });
  REQUIRE(plan);
  CHECK(plan->operators[0].description.parallelism == 1);
  CHECK(plan->operators[1].description.parallelism == 1);
  CHECK(plan->operators[2].description.parallelism == 2);
  PlanBuilder builder("/home/job");
  CHECK(builder.absolute("a/b") == "/home/job/a/b");
  CHECK(builder.absolute("/a/b") == "/a/b");
  CHECK(builder.absolute("./a//b/") == "/home/job/a/b");
  CHECK(builder.absolute("").empty());
}

TEST_CASE("the output directory of a sink of the job's own is absolute in the plan", "[api]") {
  const auto plan = build([](StreamEnvironment& env) {
    const auto make = [] { return std::make_unique<CollectSink<long>>(collected); };
    numbers(env).add_sink("relative", true, make, "out/");
    numbers(env).add_sink("absolute", true, make, "/out");
    numbers(env).add_sink("none", true, make);
  });
  REQUIRE(plan);
  CHECK(plan->operators[1].description.output_directory == "/home/job/out");
  CHECK(plan->operators[3].description.output_directory == "/out");
  CHECK(plan->operators[5].description.output_directory.empty());
}

TEST_CASE("paths of a job may be file URIs, and those of other schemes are refused", "[api]") {
  PlanBuilder builder("/home/job");
  CHECK(builder.absolute("file:///a/b") == "/a/b");
  CHECK(builder.absolute("a:b") == "/home/job/a:b");
  CHECK(builder.check_paths());
  (void)builder.absolute("s3://bucket/in");
  (void)builder.absolute("hdfs://host/in");
  REQUIRE_FALSE(builder.check_paths());
  CHECK(builder.check_paths().error().code == Errc::unsupported);
  CHECK(builder.check_paths().error().what.starts_with(
      "'s3://bucket/in': s3:// is not supported yet; use a path of this machine"));
  const auto plan = build([](StreamEnvironment& env) {
    (void)numbers(env).write_files("s3://bucket/out", [](const long&) { return std::string(); });
  });
  REQUIRE_FALSE(plan);
  CHECK(plan.error().code == Errc::unsupported);
  CHECK(plan.error().what.starts_with("'s3://bucket/out': s3:// is not supported yet"));
}

TEST_CASE("a job's settings are kept for the configuration", "[api]") {
  StreamEnvironment env({}, 1, "/home/job");
  env.enable_checkpointing(std::chrono::seconds(2));
  env.configure("state.backend", "rocksdb");
  CHECK(env.settings() ==
        std::map<std::string, std::string>{{"execution.checkpointing.interval", "2000 ms"},
                                           {"state.backend", "rocksdb"}});
  CHECK(env.parallelism() == 1);
  env.set_parallelism(4);
  CHECK(env.parallelism() == 4);
  env.configure("state.backend.fs.checkpointdir", "/old");
  env.configure("state.checkpoints.dir", "/new");
  CHECK(env.settings().at("state.checkpoints.dir") == "/new");
  CHECK_FALSE(env.settings().contains("state.backend.fs.checkpointdir"));
}

TEST_CASE("a wrong setting of a job is an error when its plan is built", "[api]") {
  const auto refused = [](const std::string& key, const std::string& value) {
    const auto plan = build([&](StreamEnvironment& env) {
      env.configure(key, value);
      env.configure("another.unknown.key", "1");  // the first error counts
      (void)env.from_collection<long>({1, 2});
    });
    REQUIRE_FALSE(plan);
    CHECK(plan.error().code == Errc::invalid_argument);
    return plan.error().what;
  };
  CHECK(refused("state.backnd", "fs") ==
        "env.configure: 'state.backnd' is no configuration key; did you mean 'state.backend'?");
  CHECK_THAT(refused("state.backend", "rocks"),
             Catch::StartsWith("env.configure: 'rocks' is no value for state.backend"));
  CHECK_THAT(refused("execution.checkpointing.interval", "-5 ms"),
             Catch::StartsWith("env.configure: '-5 ms' is no value for"));
  for (const std::string key :
       {"taskmanager.numberOfTaskSlots", "cluster.io-pool.size", "heartbeat.interval",
        "heartbeat.timeout", "client.timeout", "akka.client.timeout", "io.tmp.dirs", "env.log.dir"})
    CHECK(refused(key, key.ends_with("dir") || key.ends_with("dirs") ? "/tmp" : "9") ==
          "env.configure: '" + key +
              "' is a setting of the process, not of a job; set it in weir.yaml or with -D");
}

}  // namespace
}  // namespace weir
