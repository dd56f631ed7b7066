#include "state/snapshot_io.hpp"

#include <catch2/catch.hpp>

#include "test/state/snapshot_samples.hpp"

namespace weir {
namespace {

using test::CountedRandom;
using test::MemoryStorage;
using test::write_sample;

const std::string directory = "/d/chk-7";

SCENARIO("a task's payload stays inline up to the threshold and goes to a file beyond it",
         "[state]") {
  MemoryStorage storage;
  CountedRandom random;
  SnapshotPlacement placement;
  placement.inline_threshold_bytes = 100;
  GIVEN("a threshold of 100 bytes") {
    TaskSnapshotWriter writer(&storage, directory, "data-x", placement, random);
    writer.begin_state("s");
    WHEN("100 bytes are written") {
      REQUIRE(writer.append(std::string(60, 'a')));
      REQUIRE(writer.append(std::string(40, 'b')));
      CHECK(writer.position() == 100);
      const auto location = writer.finish();
      THEN("they are inline and no file was touched") {
        REQUIRE(location);
        CHECK(location->file.empty());
        CHECK(location->size_bytes == 100);
        CHECK(location->inline_bytes.view() == std::string(60, 'a') + std::string(40, 'b'));
        CHECK(storage.operations.empty());
        const auto source = make_source(storage, directory, *location);
        REQUIRE(source);
        CHECK((*source)->read(59, 2) == "ab");
        CHECK((*source)->name() == directory + "/_metadata");
        CHECK((*source)->read(99, 2).error().code == Errc::corruption);
        CHECK((*source)->read(~std::uint64_t{0}, 2).error().code == Errc::corruption);
      }
    }
    WHEN("one byte more is written") {
      REQUIRE(writer.append(std::string(60, 'a')));
      REQUIRE(writer.append(std::string(41, 'b')));
      const auto location = writer.finish();
      THEN("all of it is in the file, with blocks of the file's id") {
        REQUIRE(location);
        CHECK(location->file == "data-x");
        CHECK(location->size_bytes == 101);
        CHECK(location->inline_bytes.size() == 0);
        CHECK(storage.bytes(directory + "/data-x").size() == block_file_bytes(101));
        const auto source = make_source(storage, directory, *location);
        REQUIRE(source);
        CHECK((*source)->read(0, 101) == std::string(60, 'a') + std::string(41, 'b'));
        CHECK((*source)->name() == directory + "/data-x");
      }
      THEN("discard removes it, even now") {
        REQUIRE(location);
        writer.discard();
        CHECK(storage.files.empty());
      }
    }
    WHEN("nothing is written") {
      const auto location = writer.finish();
      THEN("the payload is empty and inline") {
        REQUIRE(location);
        CHECK(location->file.empty());
        CHECK(location->size_bytes == 0);
        CHECK(location->inline_bytes.size() == 0);
        CHECK(location->file_id != 0);
        CHECK((*make_source(storage, directory, *location))->read(0, 0) == "");
      }
    }
    WHEN("megabytes are written") {
      std::string all;
      for (int i = 0; i < 300; ++i) {
        const std::string piece(static_cast<std::size_t>(1 + i * 37),
                                static_cast<char>('a' + i % 26));
        REQUIRE(writer.append(piece));
        all += piece;
      }
      const auto location = writer.finish();
      THEN("they read back") {
        REQUIRE(location);
        CHECK((*make_source(storage, directory, *location))->read(0, all.size()) == all);
      }
    }
  }
  GIVEN("a placement without files") {
    placement.files = false;
    TaskSnapshotWriter writer(nullptr, directory, "data-x", placement, random);
    THEN("everything stays inline") {
      REQUIRE(writer.append(std::string(1 << 20, 'x')));
      const auto location = writer.finish();
      REQUIRE(location);
      CHECK(location->inline_bytes.size() == 1 << 20);
    }
  }
}

SCENARIO("limits of a backend are kept and named with the state", "[state]") {
  CountedRandom random;
  SnapshotPlacement placement;
  placement.files = false;
  placement.max_state_bytes = 5 << 20;
  placement.max_payload_bytes = 12 << 20;
  TaskSnapshotWriter writer(nullptr, directory, "data-x", placement, random);
  const std::string mebibyte(1 << 20, 'x');
  const auto write = [&](const std::string& state, int mebibytes) -> Status {
    writer.begin_state(state);
    for (int i = 0; i < mebibytes; ++i) WEIR_TRY(writer.append(mebibyte));
    return {};
  };
  WHEN("a state has exactly its limit") {
    THEN("it is taken, and so is the next one") {
      CHECK(write("a", 5));
      CHECK(write("b", 5));
      CHECK(writer.finish());
    }
  }
  WHEN("a state exceeds its limit") {
    REQUIRE(write("a", 5));
    const Status failed = write("counts", 6);
    THEN("it is named with the limit, and the snapshot cannot succeed any more") {
      REQUIRE_FALSE(failed);
      CHECK(failed.error().code == Errc::limit_exceeded);
      CHECK_THAT(failed.error().what,
                 Catch::Contains("state 'counts'") && Catch::Contains("5 MiB per state"));
      CHECK(writer.append("x").error() == failed.error());
      CHECK(writer.finish().error() == failed.error());
    }
  }
  WHEN("all states together exceed the limit of an acknowledgement") {
    REQUIRE(write("a", 5));
    REQUIRE(write("b", 5));
    const Status failed = write("c", 3);
    THEN("that limit is named") {
      REQUIRE_FALSE(failed);
      CHECK(failed.error().code == Errc::limit_exceeded);
      CHECK_THAT(failed.error().what,
                 Catch::Contains("'c'") && Catch::Contains("12 MiB per acknowledgement"));
    }
  }
}

SCENARIO("a snapshot that is given up leaves nothing", "[state]") {
  MemoryStorage storage;
  CountedRandom random;
  TaskSnapshotWriter writer(&storage, directory, "data-x", SnapshotPlacement(), random);
  REQUIRE(writer.append("some bytes"));
  REQUIRE(storage.temporaries.size() == 1);
  WHEN("it is cancelled") {
    writer.cancel();
    THEN("append and finish say so, and discard removes what there is") {
      CHECK(writer.append("more").error().code == Errc::cancelled);
      CHECK(writer.finish().error().code == Errc::cancelled);
      writer.discard();
      CHECK(storage.files.empty());
      CHECK(storage.temporaries.empty());
    }
  }
  WHEN("it is cancelled before it finishes") {
    writer.cancel();
    THEN("nothing is published") {
      CHECK(writer.finish().error().code == Errc::cancelled);
      CHECK(storage.files.empty());
    }
  }
  WHEN("its file cannot be published") {
    storage.failing = "publish " + directory + "/data-x";
    THEN("the error is passed on and discard removes what there is") {
      CHECK(writer.finish().error() == storage.failure);
      writer.discard();
      CHECK(storage.temporaries.empty());
    }
  }
}

TEST_CASE("a file that cannot be made fails the snapshot with its reason", "[state]") {
  for (const std::string& operation :
       {"create_directories " + directory, "create " + directory + "/data-x",
        "append " + directory + "/data-x"}) {
    MemoryStorage storage;
    storage.needs_directories = true;
    CountedRandom random;
    storage.failing = operation;
    TaskSnapshotWriter writer(&storage, directory, "data-x", SnapshotPlacement(), random);
    Status status = writer.append(std::string(block_payload_bytes, 'x'));
    if (status) status = writer.append("x");
    REQUIRE_FALSE(status);
    CHECK(status.error() == storage.failure);
    writer.discard();
    CHECK(storage.temporaries.empty());
  }
}

TEST_CASE("names of data files carry epoch, checkpoint and attempt and never come twice",
          "[state]") {
  CountedRandom random;
  const auto name = [&] { return data_file_name({2}, {17}, {3, 4, 5}, random); };
  const std::string first = name();
  CHECK_THAT(first, Catch::StartsWith("data-e2-c17-v3-s4-a5-"));
  CHECK(first != name());
  const auto numbers = std::pair(LeaderEpoch{2}, CheckpointId{17});
  CHECK(numbers_in_data_file(first) == numbers);
  CHECK(numbers_in_data_file("." + first + ".ab12") == numbers);
  for (const char* other : {"", "_metadata", "data-e2", "data-e2-c", "data-e02-c17-v", "data-e2-cx",
                            "data-ex-c2", "data-e99999999999999999999-c1-"})
    CHECK_FALSE(numbers_in_data_file(other));
}

SCENARIO("a snapshot is verified together with the files that it shares", "[state]") {
  MemoryStorage storage;
  CountedRandom random;
  const std::string checkpoint = "/checkpoints/job/chk-7";
  SnapshotMetadata metadata = write_sample(storage, checkpoint, random);
  const std::string shared = share_sample(storage, checkpoint, metadata);
  CHECK(shared == "/checkpoints/job/shared/" + metadata.locations[0].file);
  CHECK(verify_snapshot(storage, checkpoint) == metadata);

  WHEN("a bit of a shared file is flipped") {
    std::string& bytes = storage.bytes(shared);
    THEN("it is noticed and the file is named") {
      for (std::size_t bit = 0; bit < bytes.size() * 8; bit += bit < 4000 ? 1 : 331) {
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
        const auto verified = verify_snapshot(storage, checkpoint);
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
        REQUIRE_FALSE(verified);
        REQUIRE(verified.error().code == Errc::corruption);
        REQUIRE_THAT(verified.error().what, Catch::StartsWith(shared + ": block "));
      }
    }
  }
  WHEN("a shared file is missing") {
    storage.files.erase(shared);
    THEN("it is named") {
      const auto verified = verify_snapshot(storage, checkpoint);
      REQUIRE_FALSE(verified);
      CHECK(verified.error().code == Errc::not_found);
      CHECK_THAT(verified.error().what, Catch::Contains(shared));
    }
  }
  WHEN("the snapshot is deleted") {
    REQUIRE(delete_snapshot(storage, checkpoint));
    THEN("what it shares stays") {
      CHECK(storage.files.contains(shared));
      CHECK_FALSE(storage.directories.contains(checkpoint));
    }
  }
}

TEST_CASE("a payload that is to be shared goes beside its checkpoint", "[state]") {
  MemoryStorage storage;
  CountedRandom random;
  for (const std::size_t size : {100U, 101U}) {
    SnapshotPlacement placement;
    placement.inline_threshold_bytes = 100;
    placement.shared = true;
    TaskSnapshotWriter writer(&storage, "/c/job/chk-3", "data-x", placement, random);
    REQUIRE(writer.append(std::string(size, 'x')));
    const auto location = writer.finish();
    REQUIRE(location);
    CHECK(location->shared == (size > 100));
    CHECK(storage.files.contains("/c/job/shared/data-x") == (size > 100));
    CHECK((*make_source(storage, "/c/job/chk-9", *location))->read(0, size) ==
          std::string(size, 'x'));
  }
}

SCENARIO("a snapshot is verified as a whole", "[state]") {
  MemoryStorage storage;
  CountedRandom random;
  const SnapshotMetadata metadata = write_sample(storage, directory, random);
  const std::string data_path = directory + "/" + metadata.locations[0].file;
  const std::string metadata_path = directory + "/_metadata";
  REQUIRE(storage.bytes(data_path).size() > block_size_bytes);

  WHEN("nothing is wrong") {
    THEN("its metadata comes back") {
      const auto verified = verify_snapshot(storage, directory);
      REQUIRE(verified);
      CHECK(*verified == metadata);
      CHECK(read_metadata(storage, directory) == metadata);
    }
  }
  WHEN("a bit of its data file is flipped") {
    std::string& bytes = storage.bytes(data_path);
    THEN("each one is noticed and the file is named") {
      for (std::size_t bit = 0; bit < bytes.size() * 8; bit += bit < 4000 ? 1 : 331) {
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
        const auto verified = verify_snapshot(storage, directory);
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
        REQUIRE_FALSE(verified);
        REQUIRE(verified.error().code == Errc::corruption);
        REQUIRE_THAT(verified.error().what, Catch::StartsWith(data_path + ": block "));
      }
      CHECK(verify_snapshot(storage, directory));
    }
  }
  WHEN("its data file is missing") {
    storage.files.erase(data_path);
    THEN("it is named") {
      const auto verified = verify_snapshot(storage, directory);
      REQUIRE_FALSE(verified);
      CHECK(verified.error().code == Errc::not_found);
      CHECK_THAT(verified.error().what, Catch::Contains(data_path));
    }
  }
  WHEN("a handle vouches for other bytes") {
    SnapshotMetadata wrong = metadata;
    wrong.operators[0].subtasks[0].operator_states[0].checksum ^= 1;
    storage.put(metadata_path, encode_metadata(wrong, 1));
    THEN("state and operator are named") {
      const auto verified = verify_snapshot(storage, directory);
      REQUIRE_FALSE(verified);
      CHECK(verified.error().code == Errc::corruption);
      CHECK_THAT(verified.error().what, Catch::Contains("state 'splits' of operator 'source'"));
    }
  }
  WHEN("it has no metadata") {
    storage.files.erase(metadata_path);
    THEN("there is no complete snapshot") {
      const auto missing = verify_snapshot(storage, directory);
      REQUIRE_FALSE(missing);
      CHECK(missing.error().code == Errc::not_found);
      CHECK_THAT(missing.error().what,
                 Catch::StartsWith(directory + ": holds no complete checkpoint or savepoint"));
    }
  }
  WHEN("its files are copied to another place") {
    for (const std::string& name : {metadata.locations[0].file, std::string("_metadata")})
      storage.put("/elsewhere/copy/" + name, storage.bytes(directory + "/" + name));
    THEN("it verifies there as well") {
      CHECK(verify_snapshot(storage, "/elsewhere/copy") == metadata);
    }
  }
}

TEST_CASE("metadata is written once, and not at all if it would be damaged", "[state]") {
  MemoryStorage storage;
  CountedRandom random;
  SnapshotMetadata metadata = write_sample(storage, directory, random);
  CHECK(write_metadata(storage, directory, metadata, random).error().code == Errc::already_exists);
  metadata.operators[0].parallelism = 9;
  CHECK(write_metadata(storage, "/d/chk-8", metadata, random).error().code == Errc::corruption);
  CHECK_FALSE(storage.files.contains("/d/chk-8/_metadata"));
}

SCENARIO("deleting removes what the metadata names, the metadata first", "[state]") {
  MemoryStorage storage;
  CountedRandom random;
  const SnapshotMetadata metadata = write_sample(storage, directory, random);
  const std::string data_path = directory + "/" + metadata.locations[0].file;
  storage.operations.clear();
  WHEN("nothing else lies there") {
    REQUIRE(delete_snapshot(storage, directory));
    THEN("the directory goes as well") {
      CHECK(storage.files.empty());
      CHECK_FALSE(storage.directories.contains(directory));
      std::vector<std::string> removals;
      for (const auto& operation : storage.operations)
        if (operation.starts_with("remove ")) removals.push_back(operation);
      CHECK(removals == std::vector<std::string>{"remove " + directory + "/_metadata",
                                                 "remove " + data_path, "remove " + directory});
    }
  }
  WHEN("a file of somebody else lies there") {
    storage.put(directory + "/notes.txt", "mine");
    REQUIRE(delete_snapshot(storage, directory));
    THEN("it stays") {
      CHECK(storage.files.size() == 1);
      CHECK(storage.files.contains(directory + "/notes.txt"));
      CHECK(storage.directories.contains(directory));
    }
  }
  WHEN("the metadata cannot be removed") {
    storage.failing = "remove " + directory + "/_metadata";
    THEN("the snapshot stays whole") {
      CHECK_FALSE(delete_snapshot(storage, directory));
      storage.failing.clear();
      CHECK(verify_snapshot(storage, directory));
    }
  }
  WHEN("a data file cannot be removed") {
    storage.failing = "remove " + data_path;
    THEN("it is reported and no snapshot is left that looks complete") {
      CHECK(delete_snapshot(storage, directory, metadata).error() == storage.failure);
      CHECK_FALSE(storage.files.contains(directory + "/_metadata"));
    }
  }
  WHEN("the metadata is damaged") {
    storage.bytes(directory + "/_metadata").back() ^= 1;
    THEN("nothing is deleted") {
      CHECK(delete_snapshot(storage, directory).error().code == Errc::corruption);
      CHECK(storage.files.size() == 2);
    }
  }
  WHEN("only an aborted checkpoint's data is to go") {
    storage.files.erase(directory + "/_metadata");
    REQUIRE(delete_locations(storage, directory, metadata.locations));
    THEN("files and directory are gone, and a second time is success") {
      CHECK(storage.files.empty());
      CHECK_FALSE(storage.directories.contains(directory));
      CHECK(delete_locations(storage, directory, metadata.locations));
    }
  }
}

}  // namespace
}  // namespace weir
