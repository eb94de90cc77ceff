"""Will it rain in Seattle today?"""
