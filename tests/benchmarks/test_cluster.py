"""The calculation for a cluster: bytes by hand, and times that go where they must."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import cluster
from benchmarks.cluster import Network, Work

WORK = Work(([(6, 10)], [(8, 5), (4,)]), depth=2, seconds=0.1, passes=3)
NUMBERS = 60 + 2 * 44


def test_ddp_sends_every_gradient_around_twice_once_a_step() -> None:
    assert cluster.ddp_bytes(WORK, 1) == 0
    assert cluster.ddp_bytes(WORK, 2) == NUMBERS * 4
    assert cluster.ddp_bytes(WORK, 4) == 2 * 3 / 4 * NUMBERS * 4
    assert cluster.ddp_bytes(replace(WORK, passes=1), 4) == cluster.ddp_bytes(WORK, 4)


def test_fsdp_gathers_and_sums_in_every_pass() -> None:
    one = replace(WORK, passes=1, parameter_bytes=2)
    gathered, summed = (60 + 2 * 88) * 2, NUMBERS * 4
    assert cluster.fsdp_bytes(one, 2) == (gathered + summed) / 2
    assert cluster.fsdp_bytes(one, 2, cluster.GLOO_SUMS) == (gathered + 2 * summed) / 2
    assert cluster.fsdp_bytes(replace(one, passes=3), 2) == 3 * cluster.fsdp_bytes(one, 2)


def test_shares_of_a_short_dimension_are_padded() -> None:
    assert cluster.padded([(1, 197, 768)], 256) == 197 * 768  # along its width
    assert cluster.padded([(1, 197, 10)], 4) == 4 * 197 * 10
    assert cluster.padded([(768, 10), ()], 256) == 768 * 10 + 256
    assert cluster.padded([(10, 3)], 4) == 12 * 3


@pytest.mark.parametrize("seconds_of", [cluster.ddp_seconds, cluster.fsdp_seconds])
def test_a_step_takes_at_least_its_computing_and_no_less_on_more_processes(seconds_of) -> None:
    net = Network(inside=1e5, between=1e4)
    times = [seconds_of(WORK, processes, net) for processes in (1, 2, 8, 16, 256)]
    assert times[0] == pytest.approx(0.3)
    assert times == sorted(times)
    assert cluster.efficiency(times[0], WORK) == 1
    assert seconds_of(WORK, 16, replace(net, between=1e5)) < seconds_of(WORK, 16, net)
    assert seconds_of(WORK, 16, replace(net, overlap=0.0)) >= seconds_of(WORK, 16, net)


def test_what_ddp_cannot_hide() -> None:
    free = Network(inside=1e6, between=1e6, latency_inside=0, latency_between=0, overlap=1)
    exchange = cluster.ddp_bytes(WORK, 2) / 1e6
    assert cluster.ddp_seconds(WORK, 2, free) == pytest.approx(0.3 + exchange)  # the last bucket
    slow = replace(free, inside=1e3)
    hidden = WORK.seconds * 2 / 3
    assert cluster.ddp_seconds(WORK, 2, slow) == pytest.approx(0.3 + 1e3 * exchange)
    larger = replace(WORK, parameters=([(6_553_600, 10)], [(8, 5), (4,)]))  # ten buckets and more
    exchange = cluster.ddp_bytes(larger, 2) / 1e9
    assert exchange - hidden > exchange / 11
    fast = replace(free, inside=1e9)
    assert cluster.ddp_seconds(larger, 2, fast) == pytest.approx(0.3 + exchange - hidden)


def test_latency_counts_nodes_by_their_logarithm() -> None:
    net = Network(latency_inside=1.0, latency_between=10.0)
    assert net.latency(8) == 7
    assert net.latency(16) == 7 + 10
    assert net.latency(256) == 7 + 50
    assert net.bandwidth(8) == net.inside
    assert net.bandwidth(16) == min(net.inside, net.between)
