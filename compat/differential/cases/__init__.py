"""All cases by their name: a case is a function that asks a Peer and has every answer written down."""

from . import admin, api_versions, configs, deletion, dropped, fetch, frames, group_limits, group_moves, group_offsets, groups, metadata, offsets, produce

CASES = {}
for _module in (api_versions, metadata, admin, configs, produce, fetch, offsets, deletion, frames, group_offsets, groups, group_limits, group_moves, dropped):
    for _name, _case in vars(_module).items():
        if getattr(_case, "is_case", False):
            CASES[_name] = _case
