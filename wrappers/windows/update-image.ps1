# @@one-shot@@

# The image whose deploy is to do the work.
function Select-Image {
    $named = Get-NamedImage
    if (-not (Test-Image $named)) {
        Stop-Script 2 bad_environment "FLAGEEMONITOR_IMAGE in $env_file is not the name of an image: '$named'"
    }
    if ($verb -ceq 'apply' -or $verb -ceq 'resume') {
        $problem = Get-PullProblem $named
        if ($problem) {
            Stop-Script 1 image_unavailable "The image $named is unavailable: $problem" `
                "Nothing was changed; the proxy continues. Check that the registry is reachable and that the credentials in $folder\docker\config.json are valid."
        }
        return $named
    }
    # Never the image that may have to be repaired.
    $healthy = Get-HealthyImage
    if ((Test-Image $healthy) -and ((Test-ImageHere $healthy) -or -not (Get-PullProblem $healthy))) {
        return $healthy
    }
    if (-not (Test-ImageHere $named)) {
        $problem = Get-PullProblem $named
        if ($problem) {
            Stop-Script 1 image_unavailable "Neither the last healthy image nor $named is available: $problem" `
                'Nothing was changed. Check that the registry is reachable.'
        }
    }
    return $named
}

function Invoke-Main([string[]]$Words) {
    if ($Words -ccontains '-h' -or $Words -ccontains '--help') {
        return Get-Usage
    }
    $verb = 'apply'
    $more = @()
    for ($at = 0; $at -lt $Words.Count; $at++) {
        $word = $Words[$at]
        $option, $value = $word -split '=', 2
        if (@('--wait', '--output', '--lang') -ccontains $option -and $null -eq $value) {
            $at++
            if ($at -ge $Words.Count) {
                Stop-Usage "$option needs a value."
            }
            $value = $Words[$at]
        }
        if (@('--repair', '--rollback', '--resume', '--status') -ccontains $word) {
            if ($verb -cne 'apply') {
                Stop-Usage "--$verb and $option exclude each other."
            }
            $verb = $option.Substring(2)
        } elseif ($word -ceq '--force') {
            $more += '--force'
        } elseif ($option -ceq '--wait') {
            if ($value -cnotmatch '\A[0-9]+\z') {
                Stop-Usage "--wait needs a number of seconds, not '$value'."
            }
            $more += @('--wait', $value)
        } elseif ($option -ceq '--output') {
            if (@('json', 'table') -cnotcontains $value) {
                Stop-Usage "--output needs json or table, not '$value'."
            }
            $more += @('--output', $value)
        } elseif ($option -cne '--lang') {
            Stop-Usage "Unknown option: $word"
        }
    }
    Assert-Host
    if (-not [System.IO.File]::Exists($env_file)) {
        Stop-Script 2 bad_environment "$env_file does not exist: $runtime is not installed here." `
            'Install it with the line that flagee-server install-command --windows prints on the control plane.'
    }
    Clear-Name
    Invoke-Deploy (Select-Image) $more
}
