#include "connectors/line_splitter.hpp"

#include <catch2/catch.hpp>

#include "test/connectors/memory_file_system.hpp"

namespace weir {
namespace {

using namespace std::string_literals;  // NOLINT: a text with a zero byte in it
using Lines = std::vector<std::string>;

/// The lines of a text by definition, one byte at a time.
Lines lines_of(const std::string& text) {
  Lines lines;
  std::string line;
  for (const char c : text) {
    if (c == '\n')
      lines.push_back(std::exchange(line, {}));
    else
      line += c;
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

std::unique_ptr<LineSplitter> open(FileSystem& files, const FileSplit& split,
                                   LineLimits limits = {}) {
  auto splitter = LineSplitter::open(files, split, limits);
  if (!splitter) FAIL(splitter.error().what);
  return *std::move(splitter);
}

/// Reads `splitter` to its end; `after_line` sees the position after each line.
template <class AfterLine>
void read(LineSplitter& splitter, Lines& lines, AfterLine after_line) {
  for (;;) {
    const auto line = splitter.next();
    if (!line) FAIL(line.error().what);
    if (!*line) break;
    lines.emplace_back(**line);
    after_line();
  }
  // The end stays the end.
  if (splitter.next()->has_value()) FAIL("a line behind the end");
}
Lines read(FileSystem& files, const FileSplit& split, LineLimits limits = {}) {
  Lines lines;
  read(*open(files, split, limits), lines, [] {});
  return lines;
}
Lines read_all(FileSystem& files, const std::vector<FileSplit>& splits, LineLimits limits = {}) {
  Lines lines;
  for (const FileSplit& split : splits)
    for (std::string& line : read(files, split, limits)) lines.push_back(std::move(line));
  return lines;
}

const std::vector<std::string> odd_texts = {
    "a",
    "\n",
    "\n\n\n",
    "a\n",
    "a\nb",
    "\na",
    "one\ntwo\n\nfour\r\nfive",
    "no newline at all",
    "nul\0byte\nand \xff\xfe\n"s,
    "short\na line that is longer than several splits and chunks\nshort\n\n",
};

TEST_CASE("every split size yields the same lines in order, whatever the chunk", "[connectors]") {
  for (const std::string& text : odd_texts) {
    MemoryFileSystem files;
    files.files["/in"] = text;
    const Lines expected = lines_of(text);
    for (std::size_t split_bytes = 1; split_bytes <= text.size() + 1; ++split_bytes) {
      const auto splits = input_splits(files, {"/in"}, split_bytes);
      REQUIRE(splits);
      for (const std::size_t chunk_bytes : {1, 2, 3, 7, 64, 1000}) {
        INFO("split " << split_bytes << ", chunk " << chunk_bytes << ", text:\n" << text);
        REQUIRE(read_all(files, *splits, {.chunk_bytes = chunk_bytes}) == expected);
      }
    }
  }
}

TEST_CASE("a reader restored after any line yields exactly the remaining ones", "[connectors]") {
  for (const std::string& text : odd_texts) {
    MemoryFileSystem files;
    files.files["/in"] = text;
    for (std::size_t split_bytes = 1; split_bytes <= text.size(); ++split_bytes) {
      const auto splits = input_splits(files, {"/in"}, split_bytes);
      REQUIRE(splits);
      for (const FileSplit& split : *splits) {
        const Lines whole = read(files, split);
        const auto splitter = open(files, split, {.chunk_bytes = 5});
        std::vector<FileSplit> snapshots = {splitter->split()};
        Lines lines;
        read(*splitter, lines, [&] { snapshots.push_back(splitter->split()); });
        REQUIRE(lines == whole);
        snapshots.push_back(splitter->split());  // after the end, too
        for (std::size_t i = 0; i < snapshots.size(); ++i) {
          INFO("split " << split_bytes << ", line " << i << ", text:\n" << text);
          const std::size_t done = std::min(i, whole.size());
          REQUIRE(read(files, snapshots[i]) ==
                  Lines(whole.begin() + static_cast<std::ptrdiff_t>(done), whole.end()));
        }
      }
    }
  }
}

TEST_CASE("a large file is read in large chunks, and hardly beyond its split", "[connectors]") {
  MemoryFileSystem files;
  std::string& text = files.files["/in"];
  for (int i = 0; text.size() < 3'000'000; ++i)
    text += std::string(static_cast<std::size_t>(i % 200), 'x') + std::to_string(i) + "\n";
  const auto splits = input_splits(files, {"/in"}, 1 << 20);
  REQUIRE(splits);
  REQUIRE(splits->size() == 3);
  CHECK(read_all(files, *splits) == lines_of(text));
  CHECK(files.reads <= 3 * 5);
  CHECK(files.read_bytes <= text.size() + 3 * (16 << 10) + 3);
}

TEST_CASE("a line is not searched twice, however long it is", "[connectors]") {
  MemoryFileSystem files;
  files.files["/in"] = std::string(8 << 20, 'x') + "\nend\n";
  CHECK(read_all(files, *input_splits(files, {"/in"}, 1 << 20)) == lines_of(files.files["/in"]));
}

TEST_CASE("a line beyond the limit is an error that names its place", "[connectors]") {
  MemoryFileSystem files;
  files.files["/in"] = "1234\n12345\n";
  const bool newline = GENERATE(true, false);
  if (!newline) files.files["/in"].pop_back();
  const std::size_t chunk_bytes = GENERATE(1, 100);
  const FileSplit split{"/in", 0, files.files["/in"].size(), 0};
  CHECK(read(files, split, {chunk_bytes, 5}).size() == 2);
  const auto splitter = open(files, split, {chunk_bytes, 4});
  CHECK(splitter->next().value() == "1234");
  const auto line = splitter->next();
  REQUIRE_FALSE(line);
  CHECK(line.error() ==
        Error{Errc::limit_exceeded, "/in: the line at byte 5 is longer than 4 bytes"});
}

SCENARIO("a file that was changed since the snapshot is an error that names it", "[connectors]") {
  GIVEN("a file of which two lines were read") {
    MemoryFileSystem files;
    files.files["/in"] = "one\ntwo\nthree\nfour\n";
    const auto splitter = open(files, {"/in", 0, 19, 0});
    CHECK(splitter->next().value() == "one");
    CHECK(splitter->next().value() == "two");
    const FileSplit snapshot = splitter->split();
    CHECK(snapshot.position == 8);
    const auto is_changed = [](const Error& error) {
      return error.code == Errc::corruption && error.what.starts_with("/in was changed");
    };
    WHEN("it is shorter than what was read") {
      files.files["/in"] = "one\n";
      CHECK(is_changed(LineSplitter::open(files, snapshot).error()));
    }
    WHEN("it is shorter than the split") {
      files.files["/in"] = "one\ntwo\nthree\n";
      CHECK(is_changed(LineSplitter::open(files, snapshot).error()));
    }
    WHEN("no line begins where the next one should") {
      files.files["/in"] = "one and two\nthree\nfour\n";
      CHECK(is_changed(open(files, snapshot)->next().error()));
    }
    WHEN("it becomes shorter while it is read") {
      const auto reader = open(files, {"/in", 0, 19, 0}, {.chunk_bytes = 4});
      CHECK(reader->next().value() == "one");
      files.files["/in"] = "one\ntw";
      CHECK(is_changed(reader->next().error()));
      const auto skipping = open(files, {"/in", 0, 6, 0}, {.chunk_bytes = 4});
      files.files["/in"].clear();
      CHECK(is_changed(skipping->next().error()));
    }
    WHEN("it has grown") {
      files.files["/in"] += "five\n";
      THEN("the lines of the split are read, and no others") {
        CHECK(read(files, snapshot) == Lines{"three", "four"});
      }
    }
    WHEN("it cannot be read") {
      const auto reader = open(files, snapshot);
      files.unreadable = {"/in"};
      CHECK(reader->next().error().code == Errc::io_error);
      CHECK(LineSplitter::open(files, snapshot).error().code == Errc::io_error);
    }
    WHEN("it is gone") {
      files.files.clear();
      // Trying again would not help.
      const Error gone = LineSplitter::open(files, snapshot).error();
      CHECK(gone.code == Errc::state_incompatible);
      CHECK_THAT(gone.what,
                 Catch::StartsWith("input /in is not there any more, and the job has not read all "
                                   "of it: ") &&
                     Catch::EndsWith("; put it back, then go on with -s latest"));
    }
  }
}

}  // namespace
}  // namespace weir
