// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/service_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "unit/rpc/fake_service.h"

namespace nearcall::rpc {
namespace {

using ::testing::AllOf;
using testing::FakeService;
using ::testing::HasSubstr;

TEST(ServiceTableTest, FindsMethodsByTheirNumber) {
  FakeService echo("demo.Echo", {"demo.Echo/Say", "demo.Echo/Shout"});
  ServiceTable table;
  EXPECT_TRUE(table.Add(&echo).ok());
  const ServiceTable::Method* found = table.Find(internal::MethodId("demo.Echo/Shout"));
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->service, &echo);
  EXPECT_STREQ(found->method->info.full_name, "demo.Echo/Shout");
  EXPECT_EQ(table.Find(internal::MethodId("demo.Echo/Whisper")), nullptr);
}

TEST(ServiceTableTest, TakesAServiceOnce) {
  FakeService one("demo.Echo", {"demo.Echo/Say"}), two("demo.Echo", {"demo.Echo/Say"});
  ServiceTable table;
  EXPECT_TRUE(table.Add(&one).ok());
  for (FakeService* service : {&one, &two}) {
    const absl::Status status = table.Add(service);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("demo.Echo"), HasSubstr("twice")));
  }
}

TEST(ServiceTableTest, AServiceWithoutMethodsIsThereToo) {
  FakeService empty("demo.Empty", {});
  ServiceTable table;
  EXPECT_TRUE(table.Add(&empty).ok());
  EXPECT_FALSE(table.Add(&empty).ok());
}

TEST(ServiceTableTest, RefusesTwoMethodsOfOneNumber) {
  FakeService one("demo.One", {"demo.One/A"}), two("demo.Two", {"demo.Two/B"});
  two.SetId(0, internal::MethodId("demo.One/A"));
  ServiceTable table;
  EXPECT_TRUE(table.Add(&one).ok());
  const absl::Status status = table.Add(&two);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("demo.One/A"), HasSubstr("demo.Two/B"), HasSubstr("rename")));
}

TEST(ServiceTableTest, RefusesNull) {
  ServiceTable table;
  EXPECT_EQ(table.Add(nullptr).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ServiceTableTest, NamesItsServices) {
  FakeService one("demo.One", {}), two("demo.Two", {});
  ServiceTable table;
  EXPECT_TRUE(table.Add(&one).ok());
  EXPECT_TRUE(table.Add(&two).ok());
  EXPECT_EQ(table.DebugString(), "demo.One, demo.Two");
}

TEST(ServiceTableTest, OneMayServeAllOtherMethods) {
  FakeService one("demo.One", {"demo.One/A"}), any("any", {"any/Any"});
  ServiceTable table;
  EXPECT_TRUE(table.Add(&one).ok());
  EXPECT_EQ(table.generic(), nullptr);
  EXPECT_EQ(table.AddGeneric(nullptr).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(table.AddGeneric(&any).ok());
  EXPECT_EQ(table.generic()->service, &any);
  EXPECT_EQ(table.Find(any.method().id), nullptr) << "it has no number";
  EXPECT_THAT(table.AddGeneric(&any).message(), HasSubstr("twice"));
  EXPECT_EQ(table.DebugString(), "demo.One and all other methods by their names");
}

TEST(ServiceTableTest, AStandardServiceGivesWayToTheProgramsOwn) {
  FakeService own("demo.One", {"demo.One/A"}), standard("demo.One", {"demo.One/A"}), other("demo.Two", {"demo.Two/A"});
  ServiceTable table;
  EXPECT_TRUE(table.Add(&own).ok());
  table.AddStandard(&standard);
  table.AddStandard(&other);
  EXPECT_EQ(table.Find(own.method().id)->service, &own);
  EXPECT_FALSE(table.Find(own.method().id)->standard);
  EXPECT_TRUE(table.Find(other.method().id)->standard);
  EXPECT_TRUE(table.Has("demo.Two"));
  std::vector<std::string> names;
  table.ForEachName([&](const std::string& name) { names.push_back(name); });
  EXPECT_THAT(names, ::testing::ElementsAre("demo.One", "demo.Two"));
  EXPECT_EQ(table.DebugString(), "demo.One") << "what every server has says nothing of this one";
}

}  // namespace
}  // namespace nearcall::rpc
