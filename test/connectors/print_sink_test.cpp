#include "connectors/print_sink.hpp"

#include <catch2/catch.hpp>

#include "connectors/collect_sink.hpp"
#include "test/connectors/memory_file_system.hpp"
#include "test/connectors/operator_harness.hpp"

namespace weir {
namespace {

struct Word {
  std::string text;
  int count = 0;
};
WEIR_FIELDS(Word, text, count)

template <class T>
std::vector<std::string> printed(std::vector<T> values) {
  MemoryFileSystem files;
  Surroundings around;
  FakeContext context(files, around, "sink", 0, 1);
  PrintSink<T> sink;
  REQUIRE(sink.open(context));
  Batch<T> batch;
  for (T& value : values) batch.add(std::move(value));
  Cursor cursor{0, batch.size()};
  sink.on_batch(0, batch, cursor);
  CHECK(cursor.next == batch.size());
  return around.streams.printed;
}

TEST_CASE("records are printed a line each, a slice in one piece", "[connectors]") {
  CHECK(printed<std::string>({"one", "", "\"two\""}) ==
        std::vector<std::string>{"one\n\n\"two\"\n"});
  CHECK(printed<int>({1, -2}) == std::vector<std::string>{"1\n-2\n"});
  CHECK(printed<Word>({{"a", 1}}) == std::vector<std::string>{"{\"text\":\"a\",\"count\":1}\n"});
}

SCENARIO("a print sink stops at the end of its slice and fails if it cannot print",
         "[connectors]") {
  GIVEN("a batch of three") {
    MemoryFileSystem files;
    Surroundings around;
    FakeContext context(files, around, "sink", 0, 1);
    PrintSink<std::string> sink;
    REQUIRE(sink.open(context));
    Batch<std::string> batch;
    for (const char* text : {"a", "b", "c"}) batch.add(text);
    Cursor cursor{0, 2};
    WHEN("the slice holds two") {
      sink.on_batch(0, batch, cursor);
      THEN("two are printed") {
        CHECK(cursor.next == 2);
        CHECK(around.streams.printed == std::vector<std::string>{"a\nb\n"});
      }
    }
    WHEN("nobody reads") {
      around.streams.broken = true;
      THEN("the task fails with that") {
        CHECK(thrown_by([&] { sink.on_batch(0, batch, cursor); }).code == Errc::io_error);
      }
    }
  }
}

TEST_CASE("collected records of several subtasks are in one list", "[connectors]") {
  const auto into = std::make_shared<Collected<std::string>>();
  CollectSink<std::string> one(into);
  CollectSink<std::string> other(into);
  for (CollectSink<std::string>* sink : {&one, &other}) {
    Batch<std::string> batch;
    for (const char* text : {"a", "b", "c"}) batch.add(text);
    Cursor cursor{1, 2};
    sink->on_batch(0, batch, cursor);
    CHECK(cursor.next == 2);
  }
  CHECK(into->values() == std::vector<std::string>{"b", "b"});
}

}  // namespace
}  // namespace weir
